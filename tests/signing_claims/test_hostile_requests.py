"""Requests and transactions that are made to harm other projects, clients, or the repository."""

from __future__ import annotations

from pathlib import Path

import pytest
from packaging.utils import NormalizedName
from securesystemslib.formats import encode_canonical
from securesystemslib.signer import CryptoSigner, Key, SSlibKey

from securepip.errors import FormatError, SecurepipError
from securepip.formats.digests import sha256_of
from securepip.signing.claims.tree import Keyholders
from securepip.signing.keys import check_public_key
from securepip.signing.refresh import refresh
from securepip.signing.transactions.accept import claim as claim_of_request
from securepip.signing.transactions.compose import draft
from securepip.signing.transactions.state import state_in
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
