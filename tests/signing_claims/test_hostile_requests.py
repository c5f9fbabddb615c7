"""Requests and transactions that are made to harm other projects, clients, or the repository."""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from packaging.utils import NormalizedName
from securesystemslib.formats import encode_canonical
from securesystemslib.signer import CryptoSigner, Key, SSlibKey

from securepip.errors import FormatError, RefusedError, RepositoryStateError, SecurepipError
from securepip.formats.digests import sha256_of
from securepip.signing.claims.transactions.accept import accept
from securepip.signing.claims.transactions.accept import claim as claim_of_request
from securepip.signing.claims.transactions.archive import write_archive
from securepip.signing.claims.transactions.compose import Draft, draft, yanked
from securepip.signing.claims.transactions.state import state_in
from securepip.signing.keys.ring import check_public_key
from securepip.signing.publish.refresh import refresh
from securepip.signing.repository.claim_tree import Keyholders
from securepip.signing.repository.roles import Roles
from tests.signing.clients import fetch_everything
from tests.support.maintainers import Maintainers
from tests.support.repositories import MadeRepository

LIB = NormalizedName("lib")


def refuse(made: MadeRepository, path: Path, tmp_path: Path) -> None:
    """See to it that a request is refused in words, and that all still works afterwards."""
    version = made.repository.roles().timestamp.signed.version
    with pytest.raises(SecurepipError):
        claim_of_request(made.repository, path)
    assert made.repository.roles().timestamp.signed.version == version
    refresh(made.repository)
    fetch_everything(made.folder, tmp_path / "client")


def request(made: MadeRepository, keys: tuple[Key, ...], signers: Maintainers, path: Path) -> Path:
    """A request for ``lib``, naming ``keys``."""
    state = state_in(made.repository, LIB)
    holders = Keyholders(tuple(sorted(keys, key=lambda key: key.keyid)), 1)
    made_draft = draft(state, state.page, holders=holders)
    return signers.write(made_draft, path)


def test_a_key_cannot_go_by_the_id_of_another(
    claimed: MadeRepository, alice: Maintainers, tmp_path: Path
) -> None:
    # All keys of a shard are in one list: this one would take the place of that of `app`.
    genuine = alice.holders.keys[0]
    mallory = CryptoSigner.generate_ed25519()
    keyval = mallory.public_key.to_dict()["keyval"]
    forged = SSlibKey(genuine.keyid, "ed25519", "ed25519", keyval)
    thief = Maintainers((CryptoSigner(mallory._private_key, forged),))
    refuse(claimed, request(claimed, (forged,), thief, tmp_path), tmp_path)


def deep(levels: int) -> object:
    return [deep(levels - 1)] if levels else []


@pytest.mark.parametrize(
    "more",
    [{"x": "x" * 5_000_000}, {"x": deep(150)}, {"x": 1.5}, {"x": 2**70}],
    ids=["long", "deep", "float", "large"],
)
def test_a_key_holds_nothing_that_every_client_would_have_to_read(
    claimed: MadeRepository, tmp_path: Path, more: dict[str, object]
) -> None:
    bob = Maintainers.of(1)
    key = bob.holders.keys[0]
    key.unrecognized_fields.update(more)
    refuse(claimed, request(claimed, (key,), bob, tmp_path), tmp_path)


@pytest.mark.parametrize(
    "edit",
    [
        {"scheme": "none"},
        {"scheme": "rsassa-pss-sha256"},
        {"keyval": {"public": "x" * 100_000}},
        {"keyval": {"public": "aa" * 32, "more": "x"}},
    ],
)
def test_a_key_is_one_of_the_kinds_that_all_clients_know(
    claimed: MadeRepository, tmp_path: Path, edit: dict[str, object]
) -> None:
    # A key that never signs is not seen to be none: but every client of the shard reads it.
    bob = Maintainers.of(1)
    document = bob.holders.keys[0].to_dict() | edit
    odd = SSlibKey.from_dict(sha256_of(str(encode_canonical(document)).encode()), document)
    refuse(claimed, request(claimed, (*bob.holders.keys, odd), bob, tmp_path), tmp_path)
    with pytest.raises(FormatError, match="kind"):
        check_public_key(odd)


@pytest.mark.parametrize("kind", ["ed25519", "ecdsa", "rsa"])
def test_keys_as_signers_make_them_are_keys(kind: str) -> None:
    key = getattr(CryptoSigner, f"generate_{kind}")().public_key
    assert check_public_key(key) == key


Edit = Callable[[Draft], object]


def shout(made: Draft) -> None:
    for target in made.role.signed.targets.values():
        target.hashes["sha256"] = target.hashes["sha256"].upper()


@pytest.mark.parametrize(
    ("edit", "why"),
    [
        # Written into the snapshot, it would end every client in another language.
        (lambda made: setattr(made.role.signed, "version", True), "not a version"),
        # Its page would be swept away as one that nothing names.
        (shout, "lower case"),
    ],
    ids=["version", "digest"],
)
def test_a_role_is_written_as_all_clients_read_it(
    made: MadeRepository, tmp_path: Path, edit: Edit, why: str
) -> None:
    bob = Maintainers.of(1)
    state = state_in(made.repository, LIB)
    made_draft = draft(state, state.page, holders=bob.holders)
    edit(made_draft)
    with pytest.raises(RefusedError, match=why):
        claim_of_request(made.repository, bob.write(made_draft, tmp_path))


@pytest.mark.parametrize("more", [{"x": 1.5}, {"x": "\ud800"}, {"version": 2.0}, {"x": deep(150)}])
def test_a_role_that_cannot_be_written_again_is_refused(
    claimed: MadeRepository, alice: Maintainers, tmp_path: Path, more: dict[str, object]
) -> None:
    path = alice.release(claimed, "app", tmp_path)
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    role = json.loads(members["metadata/project.app.json"])
    role["signed"] |= more
    members["metadata/project.app.json"] = json.dumps(role).encode()
    write_archive(path, members.items())
    with pytest.raises(RefusedError):
        accept(claimed.repository, path)


def test_a_page_with_half_a_character_does_not_stop_the_repository(
    claimed: MadeRepository, alice: Maintainers, tmp_path: Path
) -> None:
    # Signed and current, it could not be written as HTML: no command would get any further.
    path = alice.change(claimed, "app", tmp_path, lambda page: yanked(page, "1.0", "\ud800"))
    with pytest.raises(RefusedError):
        accept(claimed.repository, path)
    refresh(claimed.repository)


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_compression_that_is_unpacked_at_once_is_refused(
    claimed: MadeRepository, tmp_path: Path, method: int
) -> None:
    path = tmp_path / "bomb.zip"
    with zipfile.ZipFile(path, "w", method) as archive:
        archive.writestr("metadata/project.app.json", b"{}")
        archive.writestr("targets/simple/app/index.json", b"{}")
    with pytest.raises(FormatError, match="unusual"):
        accept(claimed.repository, path)


def test_metadata_of_a_file_that_does_not_come_is_refused(
    claimed: MadeRepository, alice: Maintainers, tmp_path: Path
) -> None:
    # Nothing would read it, however long it is, and a change of keys that waits is kept whole.
    path = alice.release(claimed, "app", tmp_path)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("targets/packages/app/app-1.0-py3-none-any.whl.metadata", b"x" * 1000)
    with pytest.raises(RefusedError, match="no new file"):
        accept(claimed.repository, path)


def test_another_release_of_the_same_version_is_not_believed_on_disk(
    claimed: MadeRepository, alice: Maintainers, tmp_path: Path
) -> None:
    # Alice signed two; who can write to the web server puts the one that was refused there.
    first = alice.change(claimed, "app", tmp_path, lambda page: yanked(page, "1.0", "bad"))
    second = alice.change(claimed, "app", tmp_path, lambda page: yanked(page, "2.0", "bad"))
    accept(claimed.repository, first)
    with zipfile.ZipFile(second) as archive:
        data = archive.read("metadata/project.app.json")
    (claimed.folder / "metadata" / "2.project.app.json").write_bytes(data)
    with pytest.raises(RepositoryStateError, match="made current"):
        Roles(claimed.folder / "metadata", claimed.root_sha256).role("project.app")


def test_a_pipe_that_is_handed_in_is_not_waited_for(
    claimed: MadeRepository, tmp_path: Path
) -> None:
    os.mkfifo(tmp_path / "app.zip")
    for hand_in in (accept, claim_of_request):
        with pytest.raises(FormatError, match="it is no file"):
            hand_in(claimed.repository, tmp_path / "app.zip")
