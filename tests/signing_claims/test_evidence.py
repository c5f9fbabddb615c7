"""A key holder is told of each change of a claimed project that its maintainers did not sign."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from packaging.utils import NormalizedName

from securepip.signing.claims.promote import promote
from securepip.signing.claims.transactions.accept import accept
from securepip.signing.offline.bundle import add_current, write_bundle
from securepip.signing.offline.ceremony.steps import Signing, prepare
from securepip.signing.offline.proposal import propose
from securepip.signing.repository.claim_tree import ClaimTree
from securepip.signing.repository.storage.local import Folder
from tests.support.maintainers import Maintainers
from tests.support.repositories import MadeRepository

APP = NormalizedName("app")


@pytest.fixture
def bundle(claimed: MadeRepository, alice: Maintainers, tmp_path: Path) -> Path:
    """What a key holder gets when `app`, which is claimed, is handed over."""
    promote(claimed.repository)
    successor = Maintainers.of(1)
    accept(claimed.repository, alice.hand_over(claimed, "app", tmp_path, successor))
    folder = tmp_path / "bundle"
    prepare(claimed.repository, folder)
    return folder


def proposed(made: MadeRepository, tree: ClaimTree, folder: Path) -> Signing:
    """What a server that is in the wrong hands would like to have signed."""
    repository = made.repository
    with repository.lock():
        roles, expiry = repository.roles(), repository.config.expiry
        proposal = propose(roles, expiry, why="renew claimed", claimed=tree.changed)
        add_current(folder, Folder(made.folder / "metadata"), roles, proposal)
        write_bundle(folder, proposal)
    return Signing(folder, made.root_sha256)


def test_what_the_maintainers_have_asked_for_needs_no_warning(bundle: Path) -> None:
    assert Signing(bundle).unproven() == []


def test_a_statement_that_is_missing_or_another_is_noticed(
    bundle: Path, claimed: MadeRepository, tmp_path: Path
) -> None:
    statement = bundle / "statements" / "app.json"
    genuine = statement.read_bytes()
    for data in (genuine.replace(b'"sig": "', b'"sig": "AAAA'), b"{}", b""):
        statement.write_bytes(data)
        (line,) = Signing(bundle).unproven()
        assert "app would get other keys" in line
    statement.unlink()
    assert len(Signing(bundle).unproven()) == 1


def test_a_server_in_the_wrong_hands_cannot_slip_in_other_keys(
    claimed: MadeRepository, alice: Maintainers, bundle: Path, tmp_path: Path
) -> None:
    tree = claimed.repository.roles().claims_below("claimed")
    tree.put(APP, Maintainers.of(1).holders, 9)
    signing = proposed(claimed, tree, tmp_path / "evil")
    assert "app would get other keys" in signing.unproven()[0]
    # Nor with the statement that the maintainers have signed about other keys.
    shutil.copytree(bundle / "statements", tmp_path / "evil" / "statements")
    assert "app would get other keys" in Signing(tmp_path / "evil").unproven()[0]


def test_a_server_in_the_wrong_hands_cannot_take_a_claim_away_unseen(
    claimed: MadeRepository, bundle: Path, tmp_path: Path
) -> None:
    tree = claimed.repository.roles().claims_below("claimed")
    tree.drop(APP)
    signing = proposed(claimed, tree, tmp_path / "evil")
    assert signing.unproven() == ["app would sign for itself no more: nobody can ask for that"]


def test_an_old_statement_brings_back_no_key_that_was_removed(
    claimed: MadeRepository, alice: Maintainers, bundle: Path, tmp_path: Path
) -> None:
    """The present maintainers signed it once, and have changed their minds since."""
    promote(claimed.repository)
    bob = Maintainers.of(1)
    found = claimed.repository.roles().claim(APP)
    assert found is not None and found.holders != alice.holders
    tree = claimed.repository.roles().claims_below("claimed")
    tree.put(APP, bob.holders, found.since)
    signing = proposed(claimed, tree, tmp_path / "evil")
    shutil.copytree(bundle / "statements", tmp_path / "evil" / "statements")
    assert len(signing.unproven()) == 1
