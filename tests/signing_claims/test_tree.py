"""Where claims stand: one place each, no patterns that overlap, nothing that grows too large."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from packaging.utils import NormalizedName
from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import DelegatedRole, Delegations, Metadata, Targets

from securepip.formats.layout import CLAIMED_ROLE, RECENTLY_CLAIMED_ROLE, page_target
from securepip.signing.repository.claim_tree import MAX_PROJECTS, TOPS, ClaimTree, Keyholders

_KEY = CryptoSigner.generate_ed25519().public_key
_OTHER = CryptoSigner.generate_ed25519().public_key
SIGNERS = Keyholders((_KEY,), 1)
HOLDERS = Keyholders((_OTHER,), 1)

# Few letters, so that names share beginnings; all lengths, so that one begins another.
NAMES = st.from_regex(r"[ab0](-?[ab0]){0,18}", fullmatch=True).map(NormalizedName)


def empty(top: str) -> ClaimTree:
    roles = {top: Metadata(Targets())}
    return ClaimTree(top, lambda name: roles[name], SIGNERS)


def tree_of(top: str, names: Iterable[str]) -> ClaimTree:
    tree = empty(top)
    for name in names:
        tree.put(NormalizedName(name), HOLDERS, 1)
    return tree


def walk(tree: ClaimTree, top: str, target: str) -> list[str]:
    """The roles that python-tuf visits for ``target``, in any order; none may be met twice."""
    met, waiting = [], [top]
    while waiting:
        name = waiting.pop()
        met.append(name)
        if name.startswith("project."):
            continue
        delegations = tree.role(name).signed.delegations
        if delegations is not None:
            below = list(delegations.get_roles_for_target(target))
            # Only a project's delegation ends the search.
            assert all(ends == role.startswith("project.") for role, ends in below)
            assert len(below) <= 1, "two patterns overlap"
            waiting += [role for role, _ in below]
    assert len(met) == len(set(met))
    return met


@pytest.mark.parametrize("top", TOPS)
@settings(max_examples=15)
@given(names=st.sets(NAMES, max_size=150), others=st.lists(NAMES, max_size=10))
def test_every_project_has_one_place_and_all_others_fall_through(
    top: str, names: set[NormalizedName], others: list[NormalizedName]
) -> None:
    tree = tree_of(top, sorted(names))
    for name in (*names, *others):
        met = walk(tree, top, page_target(name))
        assert (met[-1] == f"project.{name}") == (name in names)
        found = tree.find(name)
        assert (found is not None) == (name in names)
        assert found is None or found.delegator == met[-2]
    assert sorted(claim.project for claim in tree.claims()) == sorted(names)
    for name in list(names)[::2]:
        tree.drop(name)
        assert tree.find(name) is None
        assert walk(tree, top, page_target(name))[-1] != f"project.{name}"


@settings(max_examples=5)
@given(names=st.sets(NAMES, min_size=MAX_PROJECTS + 1, max_size=120))
def test_no_shard_holds_more_projects_than_it_should(names: set[NormalizedName]) -> None:
    tree = tree_of(RECENTLY_CLAIMED_ROLE, sorted(names))
    for name in tree.roles():
        delegations = tree.role(name).signed.delegations
        assert delegations is not None and delegations.roles is not None
        projects = [role for role in delegations.roles if role.startswith("project.")]
        prefix = name.removeprefix(RECENTLY_CLAIMED_ROLE).removeprefix(".")
        # 28 letters are the end: deeper, a search would visit too many roles.
        assert len(projects) <= MAX_PROJECTS or len(prefix) == 28


def test_claimed_goes_by_two_letters_from_the_first_claim_on() -> None:
    tree = tree_of(CLAIMED_ROLE, ["app", "a", "ab"])
    assert walk(tree, CLAIMED_ROLE, "simple/app/index.json") == [
        "claimed", "claimed.a", "claimed.ap", "project.app",
    ]  # fmt: skip
    assert walk(tree, CLAIMED_ROLE, "packages/a/a-1.0.tar.gz") == [
        "claimed", "claimed.a", "project.a",
    ]  # fmt: skip
    assert walk(tree, CLAIMED_ROLE, "simple/ab/index.json")[-2:] == ["claimed.ab", "project.ab"]


def test_a_search_visits_fewer_roles_than_clients_allow() -> None:
    start = "mypy-boto3-accessanalyzer-"
    names = [f"{start}{number:03}" for number in range(MAX_PROJECTS * 3)]
    tree = tree_of(CLAIMED_ROLE, names)
    # python-tuf gives up after 32; those above and the other branch come on top.
    assert len(walk(tree, CLAIMED_ROLE, f"simple/{names[0]}/index.json")) < 15


def test_a_claim_keeps_its_keys_when_its_shard_is_divided() -> None:
    keys = [CryptoSigner.generate_ed25519().public_key for _ in range(3)]
    special = Keyholders(tuple(keys), 2)
    tree = empty(CLAIMED_ROLE)
    tree.put(NormalizedName("applesauce"), special, 5)
    for number in range(MAX_PROJECTS + 1):
        tree.put(NormalizedName(f"app{number}"), HOLDERS, 1)
    found = tree.find(NormalizedName("applesauce"))
    assert found is not None
    assert (found.delegator, found.holders, found.since) == ("claimed.appl", special, 5)
    for name in tree.roles():
        delegations = tree.role(name).signed.delegations
        assert delegations is not None and delegations.roles is not None
        used = {keyid for role in delegations.roles.values() for keyid in role.keyids}
        assert used == set(delegations.keys)


def test_new_keys_of_the_shards_reach_all_of_them_and_no_project() -> None:
    tree = tree_of(CLAIMED_ROLE, [f"app{number}" for number in range(MAX_PROJECTS + 1)])
    roles = dict(tree.changed)
    new = CryptoSigner.generate_ed25519().public_key
    after = ClaimTree(CLAIMED_ROLE, lambda name: roles[name], Keyholders((new,), 1))
    after.rekey()
    assert set(after.changed) == set(after.roles()) == set(tree.roles())
    for name in after.roles():
        delegations = after.role(name).signed.delegations
        assert delegations is not None and delegations.roles is not None
        for role in delegations.roles.values():
            mine = _OTHER if role.name.startswith("project.") else new
            assert role.keyids == [mine.keyid]
    # What was read is as it was: nothing is current before it is signed.
    assert all(
        _KEY.keyid in (roles[name].signed.delegations or Targets().delegations).keys  # type: ignore[union-attr] # ours have
        for name in ("claimed", "claimed.a")
    )


def test_what_is_changed_is_a_copy() -> None:
    roles = {RECENTLY_CLAIMED_ROLE: Metadata(Targets())}
    tree = ClaimTree(RECENTLY_CLAIMED_ROLE, lambda name: roles[name], SIGNERS)
    tree.put(NormalizedName("app"), HOLDERS, 1)
    assert roles[RECENTLY_CLAIMED_ROLE].signed.delegations is None


def test_a_tree_that_leads_in_a_circle_is_left() -> None:
    # As a mirror in the hands of a thief may serve `recently-claimed`.
    names = ["recently-claimed", "recently-claimed.a", "recently-claimed.ap"]
    shards = {name: DelegatedRole(name, ["0"], 1, False, ["*/*/*"]) for name in names[1:]}
    roles = {name: Metadata(Targets(delegations=Delegations({}, shards))) for name in names}
    tree = ClaimTree("recently-claimed", roles.__getitem__, Keyholders((), 0))
    assert tree.find(NormalizedName("app")) is None
    assert sorted(tree.roles()) == names
    assert list(tree.claims()) == []
