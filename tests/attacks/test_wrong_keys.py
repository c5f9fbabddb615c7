"""Metadata with signatures of keys that the pinned root does not name, or of too few keys."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import Metadata, Root

from securepip.signing.keys.ring import KeyRing, no_passphrase
from tests.attacks.refusals import assert_refused
from tests.support.hostile import HostileServer, serve_hostile
from tests.support.machine import Machine
from tests.support.repositories import MadeRepository, make_repository
from tests.support.wheels import make_wheel

ONLINE_ROLES = ("timestamp", "snapshot")


@pytest.fixture
def theirs(tmp_path: Path) -> MadeRepository:
    """An attacker's repository, with his own keys and an evil ``app``."""
    code = {"app/__init__.py": "VERSION = 'evil'\n"}
    return make_repository(
        tmp_path / "theirs", make_wheel(tmp_path / "evil", "app", "3.0", files=code)
    )


def test_a_whole_repository_with_other_keys_fools_pip_and_is_refused(
    client: Machine, hostile: HostileServer, theirs: MadeRepository
) -> None:
    genuine, hostile.folder = hostile.folder, theirs.folder
    fooled = client.pip_install(f"{hostile.url}simple/", "app")
    assert fooled.code == 0, fooled.err
    assert client.version_of("app") == "evil"
    client.remove("app")
    before = client.installed()
    assert_refused(client.install("app"), hostile, r"metadata/timestamp\.json")
    assert client.installed() == before
    hostile.folder = genuine
    assert client.install("app").code == 0
    assert client.version_of("app") == "2.0"


def test_a_repository_with_other_keys_is_refused_on_first_use_too(
    machine: Machine, theirs: MadeRepository, shared_repository: MadeRepository
) -> None:
    with serve_hostile(theirs.folder) as server:
        by_file = machine.run("trust", "add", "made", server.url, "--root", shared_repository.root)
        assert_refused(by_file, server, r"metadata/timestamp\.json")
        fingerprint = machine.run(
            "trust", "add", "made", server.url, "--root-sha256", shared_repository.root_sha256
        )
        assert fingerprint.code == 3
    assert "No repository is trusted yet" in machine.run("trust", "list").out


def next_root(made: MadeRepository, signers: int, attacker: CryptoSigner | None) -> bytes:
    """Make version 2 of the root, signed with some of the three root keys.

    Args:
        made: The repository.
        signers: How many of its root keys sign.
        attacker: A key that becomes a root key and the key of all online roles, and signs as well.
    """
    root: Metadata[Root] = Metadata.from_file(str(made.root))
    keys = [root.signed.keys[keyid] for keyid in root.signed.roles["root"].keyids]
    root.signed.version = 2
    root.signed.expires = datetime.now(timezone.utc).replace(microsecond=0) + timedelta(days=30)
    if attacker is not None:
        root.signed.add_key(attacker.public_key, "root")
        for role in ONLINE_ROLES:
            root.signed.roles[role].keyids = []
            root.signed.add_key(attacker.public_key, role)
    ring = KeyRing([made.offline_keys], {}, no_passphrase)
    root.signatures.clear()
    for key in keys[:signers]:
        signer = ring.find(key)
        assert signer is not None
        root.sign(signer, append=True)
    if attacker is not None:
        root.sign(attacker, append=True)
    return root.to_bytes()


@pytest.mark.parametrize("signers", [0, 1])
def test_a_new_root_signed_by_fewer_than_the_old_threshold_is_refused(
    client: Machine, hostile: HostileServer, shared_repository: MadeRepository, signers: int
) -> None:
    """A stolen root key, and a key that only the new root names, are no threshold of two."""
    attacker = CryptoSigner.generate_ed25519()
    forged = next_root(shared_repository, signers, attacker)
    hostile.alter(r"metadata/2\.root\.json", lambda _: forged)
    assert_refused(client.install("app"), hostile, r"metadata/2\.root\.json")
    hostile.honest()
    assert client.install("--dry-run", "app").code == 0


def test_a_new_root_signed_by_the_threshold_is_followed(
    client: Machine, hostile: HostileServer, shared_repository: MadeRepository
) -> None:
    """The counterpart: the root of the test above is refused only for its signatures."""
    genuine = next_root(shared_repository, 2, None)
    hostile.alter(r"metadata/2\.root\.json", lambda _: genuine)
    done = client.install("--dry-run", "app")
    assert done.code == 0, done.err
    assert "root:         version 2" in client.run("trust", "show", "made").out


@pytest.mark.parametrize("role", ["timestamp", "snapshot"])
def test_metadata_signed_with_a_key_that_root_does_not_name_is_refused(
    client: Machine, hostile: HostileServer, role: str
) -> None:
    attacker = CryptoSigner.generate_ed25519()

    def sign_again(data: bytes) -> bytes:
        metadata: Metadata[Root] = Metadata.from_bytes(data)
        metadata.signed.version += 1
        metadata.sign(attacker)
        return metadata.to_bytes()

    pattern = rf"metadata/(\d+\.)?{role}\.json"
    hostile.alter(pattern, sign_again)
    assert_refused(client.install("app"), hostile, pattern)


@pytest.mark.parametrize("role", ["targets", "bins", "claimed", "recently-claimed", "bin-.*"])
def test_a_role_without_its_signature_is_refused(
    client: Machine, hostile: HostileServer, role: str
) -> None:
    """The snapshot has only the role's version: only the signature proves the contents."""

    def strip(data: bytes) -> bytes:
        metadata: Metadata[Root] = Metadata.from_bytes(data)
        metadata.signatures.clear()
        return metadata.to_bytes()

    pattern = rf"metadata/\d+\.{role}\.json"
    hostile.alter(pattern, strip)
    assert_refused(client.install("app"), hostile, pattern)
