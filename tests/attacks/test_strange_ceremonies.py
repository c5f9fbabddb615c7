"""A bundle from the thief's own repository, in which the same people hold the root keys.

A root that two of them sign there would be a valid next root of their real repository.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from securesystemslib.signer import CryptoSigner
from tuf.api.exceptions import UnsignedMetadataError
from tuf.api.metadata import Metadata, Root

from securepip.errors import SecurepipError
from securepip.formats.digests import Sha256, sha256_of
from securepip.signing.claims.promote import promote
from securepip.signing.keys import ring
from securepip.signing.offline.bundle import add_current, write_bundle
from securepip.signing.offline.ceremony.steps import prepare
from securepip.signing.offline.proposal import propose
from securepip.signing.offline.recover import OfflineKeys, recover
from securepip.signing.offline.rotate import NewKeys, rotate
from securepip.signing.publish.refresh import refresh
from securepip.signing.repository.config import Expiry
from securepip.signing.repository.repository import Repository
from securepip.signing.repository.roles import FRAME, Roles
from securepip.signing.repository.storage.local import Folder
from tests.support.machine import Finished, Machine
from tests.support.repositories import MadeRepository, make_repository


@dataclass(frozen=True)
class Scene:
    """Two key holders at one machine, their repository, and the thief's bundle.

    Attributes:
        machine: The key holders' machine.
        made: Their repository; both have signed for it before.
        strange: The fingerprint of the thief's repository.
        bundle: The thief's bundle.
    """

    machine: Machine
    made: MadeRepository
    strange: Sha256
    bundle: Path

    def sign(self, root_sha256: str | None = None, **variables: str) -> list[Finished]:
        """Let both holders sign the thief's bundle, and return the two commands."""
        known = ("--root-sha256", root_sha256) if root_sha256 else ()
        return [
            self.machine.run(
                *("repo", "ceremony", "sign", self.bundle, "--yes", *known),
                *("--keys", self.machine.folder / holder),
                **variables,
            )
            for holder in ("ann", "ben")
        ]

    def follows(self) -> bool:
        """Whether the signed root is a valid next root of their real repository."""
        real = Metadata[Root].from_file(str(self.made.root))
        new = Metadata[Root].from_file(str(self.bundle / "new" / "2.root.json"))
        try:
            real.signed.verify_delegate("root", new.signed_bytes, new.signatures)
        except UnsignedMetadataError:
            return False
        assert new.signed.roles["timestamp"].keyids != real.signed.roles["timestamp"].keyids
        return True


@pytest.fixture
def scene(machine: Machine) -> Scene:
    folder = machine.folder
    made = make_repository(folder / "repository", expected_files=1)
    for holder, pattern in (("ann", "root-1.*"), ("ben", "root-2.*")):
        (folder / holder).mkdir(mode=0o700)
        (path,) = made.offline_keys.glob(pattern)
        shutil.copy2(path, folder / holder / path.name)
    first = folder / "first"
    renew = ("repo", "ceremony", "prepare", made.folder, first, "--renew", "root")
    assert machine.run(*renew).code == 0
    for holder in ("ann", "ben"):
        words = ("repo", "ceremony", "sign", first, "--keys", folder / holder, "--yes")
        done = machine.run(*words, "--root-sha256", made.root_sha256)
        assert done.code == 0, done.err
    strange = make_repository(folder / "strange", expected_files=1)
    fingerprint = take_in(strange, made)
    bundle = folder / "bundle"
    roles = Roles(strange.folder / "metadata", fingerprint)
    proposal = propose(roles, Expiry(), why="renew root", renew=["root"])
    add_current(bundle, Folder(strange.folder / "metadata"), roles, proposal)
    write_bundle(bundle, proposal)
    return Scene(machine, made, fingerprint, bundle)


def take_in(strange: MadeRepository, made: MadeRepository) -> Sha256:
    """Add the root keys of ``made`` to the thief's first root, beside his own."""
    metadata = Metadata[Root].from_file(str(strange.root))
    real = Metadata[Root].from_file(str(made.root)).signed
    for keyid in real.roles["root"].keyids:
        metadata.signed.add_key(real.keys[keyid], "root")
    metadata.signatures.clear()
    with Repository.open(strange.folder, keys=[strange.offline_keys]) as repository:
        for key in metadata.signed.keys.values():
            if signer := repository.keys.find(key):
                metadata.sign(signer, append=True)
    metadata.to_file(str(strange.root))
    return sha256_of(strange.root.read_bytes())


def test_who_has_never_signed_for_the_real_one_there_and_believes_the_bundle_makes_its_next_root(
    scene: Scene, tmp_path: Path
) -> None:
    """The counterpart: on a new machine, with the thief's fingerprint, the attack works."""
    for done in scene.sign(scene.strange, SECUREPIP_DATA_DIR=str(tmp_path / "new-machine")):
        assert done.code == 0, done.err
    assert scene.follows()


def test_a_machine_that_has_signed_for_the_real_one_signs_for_no_other(scene: Scene) -> None:
    for done in scene.sign(scene.strange):
        assert done.code == 1
        assert "has signed for another repository on this machine" in done.err
    for done in scene.sign():
        assert done.code == 1
        assert "has signed nothing of this repository yet" in done.err
        assert scene.strange not in done.out + done.err
    assert not scene.follows()


def test_a_new_machine_has_to_be_told_the_fingerprint(scene: Scene, tmp_path: Path) -> None:
    for known in (None, scene.made.root_sha256):
        for done in scene.sign(known, SECUREPIP_DATA_DIR=str(tmp_path / "new-machine")):
            assert done.code == 1
    assert not scene.follows()


def test_the_keys_that_come_since_the_last_root_that_was_signed_here_are_said_first(
    scene: Scene, machine: Machine, tmp_path: Path
) -> None:
    """Also those of a root that others have signed since, and that the bundle calls current."""
    made = scene.made
    words = ("repo", "ceremony", "collect", made.folder, machine.folder / "first")
    assert machine.run(*words).code == 0
    old = made.repository.roles().root.signed.roles["targets"].keyids
    rotated = ("repo", "rotate", made.folder, "targets", "--offline-keys", made.offline_keys)
    assert machine.run(*rotated).code == 0
    again = replace(scene, bundle=tmp_path / "again")
    renew = ("repo", "ceremony", "prepare", made.folder, again.bundle, "--renew", "root")
    assert machine.run(*renew).code == 0
    (done, _) = again.sign()
    assert done.code == 0, done.err
    _, first, second, *_ = done.out.splitlines()
    assert first == "Since root version 2, which was signed here last, these keys change."
    assert second == f"  targets: the key {old[0]} goes"


def test_a_root_of_a_number_that_was_signed_here_for_another_is_noticed(
    scene: Scene, machine: Machine, tmp_path: Path
) -> None:
    """The root signed here was never collected; others have signed another version 2."""
    made = scene.made
    rotated = ("repo", "rotate", made.folder, "root", "--offline-keys", made.offline_keys)
    assert machine.run(*rotated).code == 0
    again = replace(scene, bundle=tmp_path / "again")
    renew = ("repo", "ceremony", "prepare", made.folder, again.bundle, "--renew", "targets")
    assert machine.run(*renew).code == 0
    for done in again.sign():
        assert done.code == 1
        assert "is not the one that was signed on this machine" in done.err


COMMANDS: dict[str, Callable[[Repository, Path], object]] = {
    "refresh": lambda repository, folder: refresh(repository, offline=True),
    "rotate": lambda repository, folder: rotate(repository, "targets", NewKeys(folder / "new")),
    "promote": lambda repository, folder: promote(repository),
    "prepare": lambda repository, folder: prepare(repository, folder / "bundle", renew=["root"]),
    "recover": lambda repository, folder: recover(
        repository,
        repository.home.parent,
        online=NewKeys(folder / "online"),
        offline=OfflineKeys(NewKeys(folder / "offline")),
        confirm=lambda findings: True,
    ),
}


def test_no_command_signs_with_a_key_that_has_signed_for_another_repository_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The thief replaces the repository by another one in which the same people hold keys.

    Its log and all its other files are the thief's: nothing there shows the difference.
    """
    made = make_repository(tmp_path / "repository", expected_files=1)
    strange = with_the_same_offline_keys(made, tmp_path / "strange", monkeypatch)

    def opened(repository: MadeRepository) -> Repository:
        return Repository.open(repository.folder, keys=[made.offline_keys, repository.online_keys])

    with opened(made) as repository:
        refresh(repository, offline=True)
    before = {path.name for path in (strange.folder / "metadata").iterdir()}
    for name, command in COMMANDS.items():
        with opened(strange) as repository, pytest.raises(SecurepipError) as refused:
            command(repository, tmp_path)
        assert "has signed for another repository on this machine" in refused.value.what, name
    assert {path.name for path in (strange.folder / "metadata").iterdir()} == before
    # The counterpart: a machine that has not seen the repository signs.
    monkeypatch.setenv("SECUREPIP_DATA_DIR", str(tmp_path / "another-machine"))
    with opened(strange) as repository:
        COMMANDS["rotate"](repository, tmp_path)
    new = Metadata[Root].from_file(str(strange.folder / "metadata" / "2.root.json"))
    real = Metadata[Root].from_file(str(made.root)).signed
    real.verify_delegate("root", new.signed_bytes, new.signatures)


def with_the_same_offline_keys(
    made: MadeRepository, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> MadeRepository:
    """Make another repository, with another online key."""
    roles = made.repository.roles()
    holders = [roles.holders(name) for name in FRAME]
    root = roles.root.signed
    keys = [root.keys[keyid] for keyid in root.roles["root"].keyids]
    keys += [key for each in holders for key in each.keys]
    signers = [made.repository.keys.find(key) for key in keys]
    generate = ring.generate

    def again(folder: Path, roles: Iterable[str], passphrase: bytes | None) -> list[CryptoSigner]:
        named = list(roles)
        if len(named) == 1:
            return generate(folder, named, passphrase)
        same = [each for each in signers if isinstance(each, CryptoSigner)]
        ring.store(folder, zip(named, same, strict=True), passphrase)
        return same

    with monkeypatch.context() as patched:
        patched.setattr(ring, "generate", again)
        return make_repository(folder, expected_files=1)
