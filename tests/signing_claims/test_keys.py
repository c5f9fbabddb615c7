"""Other keys for a project: at once while recently claimed, with the offline keys afterwards."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.utils import NormalizedName
from securesystemslib.dsse import Envelope
from securesystemslib.signer import CryptoSigner, SSlibKey
from tuf.api.metadata import Targets

from securepip.errors import FormatError, RefusedError, RepositoryStateError
from securepip.formats.layout import ALL_ROLES, NAMED_FIELD, OWN_ROLES, ROLE_FIELD
from securepip.formats.roles import Naming
from securepip.signing.claims.promote import promote
from securepip.signing.claims.transactions.accept import accept, claim
from securepip.signing.claims.transactions.check import Property
from securepip.signing.claims.transactions.compose import draft, withdrawn
from securepip.signing.claims.transactions.state import state_in
from securepip.signing.claims.transactions.statement import (
    PAYLOAD_TYPE,
    SignedStatement,
    Statement,
    check_holders,
    parse_statement,
)
from securepip.signing.repository.claim_tree import Claim
from securepip.signing.repository.register import Register
from tests.signing.clients import fetch_everything
from tests.support.maintainers import Maintainers
from tests.support.repositories import MadeRepository
from tests.support.wheels import make_wheel

APP = NormalizedName("app")


@pytest.fixture
def bob() -> Maintainers:
    return Maintainers.of(1)


def claim_of(made: MadeRepository) -> Claim:
    found = made.repository.roles().claim(APP)
    assert found is not None
    return found


def test_a_recently_claimed_project_gets_other_keys_at_once(
    claimed: MadeRepository, alice: Maintainers, bob: Maintainers, tmp_path: Path
) -> None:
    fetch_everything(claimed.folder, tmp_path / "client")
    left_over = claimed.folder / "metadata" / "2.project.app.json"
    left_over.write_bytes(b"of a run that was killed, or a thief's")
    done = accept(claimed.repository, alice.hand_over(claimed, "app", tmp_path, bob))
    assert not done.waiting
    assert b"thief" not in left_over.read_bytes()
    assert claim_of(claimed).holders == bob.holders
    assert claimed.repository.roles().target("simple/app/index.json") is not None
    wheel = make_wheel(tmp_path / "dist", "app", "3.0")
    with pytest.raises(RefusedError, match="not the project's"):
        accept(claimed.repository, release_unsigned_by_holders(claimed, alice, tmp_path, wheel))
    accept(claimed.repository, bob.release(claimed, "app", tmp_path, wheel))
    for client in ("client", "new"):
        assert f"packages/app/{wheel.name}" in fetch_everything(claimed.folder, tmp_path / client)


def release_unsigned_by_holders(
    made: MadeRepository, who: Maintainers, folder: Path, wheel: Path
) -> Path:
    """A release that somebody signs who may not."""
    state = state_in(made.repository, APP)
    return who.write(replace(draft(state, state.page), holders=who.holders), folder)


def test_a_claimed_project_gets_other_keys_with_the_offline_keys(
    claimed: MadeRepository, alice: Maintainers, bob: Maintainers, tmp_path: Path
) -> None:
    promote(claimed.repository)
    for name in ("claimed.ap", "project.app"):
        meta = claimed.repository.roles().meta(name)
        assert (meta.version, bool(meta.hashes)) == (1, True)
    fetch_everything(claimed.folder, tmp_path / "client")
    done = accept(claimed.repository, alice.hand_over(claimed, "app", tmp_path, bob))
    assert done.waiting and done.published is None
    assert claim_of(claimed).holders == alice.holders
    assert Register(claimed.repository).all_pending() == [APP]
    assert promote(claimed.repository).promotion.rekeyed == [APP]
    assert claim_of(claimed).holders == bob.holders
    assert Register(claimed.repository).all_pending() == []
    wheel = make_wheel(tmp_path / "dist", "app", "3.0")
    accept(claimed.repository, bob.release(claimed, "app", tmp_path, wheel))
    for client in ("client", "new"):
        assert f"packages/app/{wheel.name}" in fetch_everything(claimed.folder, tmp_path / client)


def test_all_roles_are_promised_to_be_named_when_those_of_projects_are(
    claimed: MadeRepository,
) -> None:
    for named in (ALL_ROLES, OWN_ROLES):
        roles = claimed.repository.roles()
        if named == OWN_ROLES:
            del roles.role("project.app").signed.unrecognized_fields[ROLE_FIELD]
        roles._naming = Naming(roles.repository)
        targets = Targets()
        roles.promise_names(targets, ())
        assert targets.unrecognized_fields[NAMED_FIELD] == named


def test_a_change_of_keys_from_before_the_present_keys_brings_none_of_them_back(
    claimed: MadeRepository, alice: Maintainers, bob: Maintainers, tmp_path: Path
) -> None:
    """A recovery may come back to an older release: then old numbers follow the published one."""
    repository = claimed.repository
    old = alice.hand_over(claimed, "app", tmp_path, bob)
    tree = repository.roles().claims_below("recently-claimed")
    tree.put(APP, alice.holders, 9)
    with repository.lock():
        repository.sign(tree.changed)
    with pytest.raises(RefusedError, match="the change of keys is an old one"):
        accept(repository, old)
    assert claim_of(claimed).holders == alice.holders


def test_a_maintainer_who_comes_waits_for_no_release(
    claimed: MadeRepository, alice: Maintainers, bob: Maintainers, tmp_path: Path
) -> None:
    promote(claimed.repository)
    both = Maintainers((*alice.signers, *bob.signers))
    accept(claimed.repository, alice.hand_over(claimed, "app", tmp_path, both))
    wheel = make_wheel(tmp_path / "dist", "app", "3.0")
    # Alice releases meanwhile, and she stays a maintainer: the change is as good as before.
    done = accept(claimed.repository, alice.release(claimed, "app", tmp_path, wheel))
    assert not done.outdated
    assert promote(claimed.repository).promotion.rekeyed == [APP]
    assert claim_of(claimed).holders == both.holders
    assert f"packages/app/{wheel.name}" in fetch_everything(claimed.folder, tmp_path / "client")


def test_a_change_that_a_release_has_overtaken_is_dropped_and_said_so(
    claimed: MadeRepository, alice: Maintainers, bob: Maintainers, tmp_path: Path
) -> None:
    promote(claimed.repository)
    accept(claimed.repository, alice.hand_over(claimed, "app", tmp_path, bob))
    path = alice.change(claimed, "app", tmp_path, lambda page: page)
    assert accept(claimed.repository, path).outdated
    done = promote(claimed.repository).promotion
    assert done.rekeyed == [] and "a release has come in between" in done.outdated[APP]
    assert claim_of(claimed).holders == alice.holders
    assert Register(claimed.repository).all_pending() == []
    fetch_everything(claimed.folder, tmp_path / "client")


def test_what_a_thief_of_the_keys_has_asked_for_does_not_take_effect_by_itself(
    claimed: MadeRepository, alice: Maintainers, bob: Maintainers, tmp_path: Path
) -> None:
    promote(claimed.repository)
    thief = Maintainers.of(1)
    accept(claimed.repository, alice.hand_over(claimed, "app", tmp_path, thief))
    Register(claimed.repository).freeze(APP, "stolen")
    assert promote(claimed.repository).promotion.frozen == [APP]
    assert claim_of(claimed).holders == alice.holders
    state = state_in(claimed.repository, APP)
    request = bob.write(draft(state, state.page, holders=bob.holders, lost=True), tmp_path)
    claim(claimed.repository, request, replace_keys=True)
    assert Register(claimed.repository).pending(APP) is None
    assert promote(claimed.repository).promotion.rekeyed == []
    assert claim_of(claimed).holders == bob.holders


def test_a_frozen_project_gets_other_keys_when_the_operator_names_it(
    claimed: MadeRepository, alice: Maintainers, bob: Maintainers, tmp_path: Path
) -> None:
    promote(claimed.repository)
    accept(claimed.repository, alice.hand_over(claimed, "app", tmp_path, bob))
    Register(claimed.repository).freeze(APP, "")
    assert promote(claimed.repository, {APP}).promotion.rekeyed == [APP]
    assert claim_of(claimed).holders == bob.holders


@pytest.mark.parametrize("promoted", [False, True])
def test_keys_change_only_when_the_present_ones_have_signed(
    claimed: MadeRepository, alice: Maintainers, tmp_path: Path, promoted: bool
) -> None:
    if promoted:
        promote(claimed.repository)
    mallory = Maintainers.of(1)
    path = mallory.hand_over(claimed, "app", tmp_path, mallory)
    with pytest.raises(RefusedError, match="present keys") as refused:
        accept(claimed.repository, path)
    assert Property.THRESHOLD.value in refused.value.meaning
    assert claim_of(claimed).holders == alice.holders
    assert not Register(claimed.repository).all_pending()


def test_a_change_that_waits_is_checked_again_when_it_takes_effect(
    claimed: MadeRepository, alice: Maintainers, bob: Maintainers, tmp_path: Path
) -> None:
    promote(claimed.repository)
    accept(claimed.repository, alice.hand_over(claimed, "app", tmp_path, bob))
    # Somebody who can write to the operator's folder puts his own in its place.
    mallory = Maintainers.of(1)
    waiting = Register(claimed.repository).pending(APP)
    assert waiting is not None
    shutil.copyfile(mallory.hand_over(claimed, "app", tmp_path, mallory), waiting)
    assert APP in promote(claimed.repository).promotion.outdated
    assert claim_of(claimed).holders == alice.holders


def test_an_old_change_of_keys_does_not_bring_back_a_key_that_was_removed(
    claimed: MadeRepository, alice: Maintainers, bob: Maintainers, tmp_path: Path
) -> None:
    both = Maintainers((*alice.signers, *bob.signers))
    old = alice.hand_over(claimed, "app", tmp_path, both)
    accept(claimed.repository, old)
    promote(claimed.repository)
    accept(claimed.repository, alice.hand_over(claimed, "app", tmp_path, alice))
    promote(claimed.repository)
    assert claim_of(claimed).holders == alice.holders
    waiting = Register(claimed.repository)
    # Bob, whose key was removed, lays the old change where those wait that were accepted.
    waiting.keep_pending(APP, old)
    assert APP in promote(claimed.repository).promotion.outdated
    assert claim_of(claimed).holders == alice.holders
    with pytest.raises(RefusedError, match="version"):
        accept(claimed.repository, old)


def test_a_change_of_keys_changes_nothing_else(
    claimed: MadeRepository, alice: Maintainers, bob: Maintainers, tmp_path: Path
) -> None:
    state = state_in(claimed.repository, APP)
    made = draft(state, withdrawn(state.page, "1.0"), holders=bob.holders)
    made.sign(alice.ring())
    with pytest.raises(RefusedError, match="two transactions"):
        accept(claimed.repository, bob.write(made, tmp_path))


@pytest.mark.parametrize("promoted", [False, True])
def test_a_project_whose_keys_are_lost_gets_others_when_the_operator_says_so(
    claimed: MadeRepository, bob: Maintainers, tmp_path: Path, promoted: bool
) -> None:
    if promoted:
        promote(claimed.repository)
    fetch_everything(claimed.folder, tmp_path / "client")
    state = state_in(claimed.repository, APP)
    request = bob.write(draft(state, state.page, holders=bob.holders, lost=True), tmp_path)
    for work in (accept, claim):
        with pytest.raises(RepositoryStateError) as refused:
            work(claimed.repository, request)
        assert "--replace-keys" in refused.value.remedy
    claim(claimed.repository, request, replace_keys=True)
    assert claim_of(claimed).holders == bob.holders
    assert claim_of(claimed).top == ("claimed" if promoted else "recently-claimed")
    for client in ("client", "new"):
        fetch_everything(claimed.folder, tmp_path / client)
    # Of a usual change of keys, only the present ones may say that it is right.
    mallory = Maintainers.of(1)
    usual = mallory.hand_over(claimed, "app", tmp_path, mallory)
    with pytest.raises(RepositoryStateError, match="does not ask for other keys"):
        claim(claimed.repository, usual, replace_keys=True)


def test_what_was_signed_as_a_statement_is_no_role_and_the_other_way_round(
    alice: Maintainers,
) -> None:
    statement = Statement(APP, 1, alice.holders)
    signed = SignedStatement(statement, statement.to_envelope())
    signed.sign(list(alice.signers))
    assert signed.is_signed_by(alice.holders)
    assert parse_statement(signed.to_json()).statement == statement
    other = Envelope(signed.envelope.payload, "application/vnd.tuf+json", {})
    other.sign(alice.signers[0])
    with pytest.raises(FormatError, match="another kind"):
        parse_statement(SignedStatement(statement, other).to_json())
    # Signatures over the bare payload, as TUF makes them, do not count either.
    bare = SignedStatement(statement, statement.to_envelope())
    signature = alice.signers[0].sign(bare.envelope.payload)
    bare.envelope.signatures[signature.keyid] = signature
    assert not bare.is_signed_by(alice.holders)
    assert PAYLOAD_TYPE.startswith("application/vnd.securepip.")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"{}",
        b'{"payload": "", "payloadType": "x", "signatures": []}',
        b'{"payload": 1, "payloadType": 2, "signatures": 3}',
        b"[" * 99999,
    ],
)
def test_what_is_no_statement_is_refused(data: bytes) -> None:
    with pytest.raises(FormatError):
        parse_statement(data)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["project", "role-version", "threshold", "keys", "lost-keys"]),
                inner,
            )
        ),
    )
)
def test_any_statement_is_read_or_refused(document: object) -> None:
    envelope = Envelope(json.dumps(document).encode(), PAYLOAD_TYPE, {})
    with pytest.raises(FormatError):
        parse_statement(json.dumps(envelope.to_dict()).encode())


def test_one_key_under_two_ids_is_one_key(alice: Maintainers) -> None:
    key = alice.holders.keys[0]
    assert isinstance(key, SSlibKey)
    twin = SSlibKey("0" * 64, key.keytype, key.scheme, key.keyval)
    with pytest.raises(FormatError, match="not its own"):
        check_holders((key, twin), 2)


@pytest.mark.parametrize("threshold", [0, -1, 3, True, "1", None, 1.0])
def test_a_threshold_that_makes_no_sense_is_refused(threshold: object) -> None:
    keys = tuple(CryptoSigner.generate_ed25519().public_key for _ in range(2))
    with pytest.raises(FormatError):
        check_holders(keys, threshold)
    with pytest.raises(FormatError):
        check_holders((), 1)
