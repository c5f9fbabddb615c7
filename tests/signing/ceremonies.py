"""A server without offline keys, and the holders of these keys."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from tuf.api.metadata import Metadata

from securepip.signing.offline.rotate import keyids_of
from securepip.signing.repository.repository import Repository
from tests.support.machine import Finished, Machine
from tests.support.repositories import make_repository
from tests.support.wheels import make_wheel


class Ceremony:
    """A server, and the key holders Ann, Ben and Cem, who have a root key and another each."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.folder = machine.folder
        self.made = make_repository(
            self.folder / "repository",
            make_wheel(self.folder, "app", "1.0"),
            expected_files=1,
        )
        self.made.repository.ledger.close()
        for holder, pattern in (
            ("ann", "root-1.*"),
            ("ben", "root-2.*"),
            ("cem", "root-3.*"),
            ("ann", "targets.*"),
            ("ben", "bins.*"),
            ("cem", "claimed.*"),
        ):
            (self.folder / holder).mkdir(exist_ok=True, mode=0o700)
            (path,) = self.made.offline_keys.glob(pattern)
            path.rename(self.folder / holder / path.name)
        self.made.offline_keys.rmdir()

    def prepare(self, *options: str | Path) -> Finished:
        return self.machine.run(
            "repo", "ceremony", "prepare", self.made.folder, self.folder / "bundle", *options
        )

    def sign(
        self, holder: str, bundle: str = "bundle", *, root_sha256: str | None = None
    ) -> Finished:
        """Let a holder sign, who has the repository's fingerprint since it was made."""
        return self.machine.run(
            *("repo", "ceremony", "sign", self.folder / bundle, "--yes"),
            *("--keys", self.folder / holder),
            *("--root-sha256", root_sha256 or self.made.root_sha256),
        )

    def collect(self, *bundles: str) -> Finished:
        paths = [self.folder / bundle for bundle in bundles or ("bundle",)]
        return self.machine.run("repo", "ceremony", "collect", self.made.folder, *paths)

    def public_key(self, holder: str) -> Path:
        """A new key of a holder, made on his own machine, and its public half."""
        public = self.folder / f"{holder}.public.json"
        keys = ("--keys", self.folder / holder, "--public", public)
        done = self.machine.run("sign", "keygen", *keys)
        assert done.code == 0, done.err
        return public

    def keyids(self, role: str) -> set[str]:
        with Repository.open(self.made.folder) as repository:
            return set(keyids_of(repository.roles(), role))


def edit_new(ceremony: Ceremony, name: str, edit: Callable[[Any], object]) -> None:
    """Change what is to be signed, as who brings the bundle can."""
    path = ceremony.folder / "bundle" / "new" / name
    metadata = Metadata.from_bytes(path.read_bytes())
    edit(metadata.signed)
    metadata.to_file(str(path))
