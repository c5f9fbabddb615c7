"""A thief of the online key prepares a state for the offline keys to sign.

He has replaced the state on the server by his own, which the online key has signed. Then the
holders of the offline keys run their monthly commands.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from packaging.utils import NormalizedName

from securepip.errors import SecurepipError
from securepip.signing.claims import promote as promoting
from securepip.signing.claims.promote import promote
from securepip.signing.claims.transactions.accept import claim as accept_claim
from securepip.signing.claims.transactions.compose import draft
from securepip.signing.claims.transactions.state import state_in
from securepip.signing.offline import rotate as rotating
from securepip.signing.offline.ceremony import steps
from securepip.signing.offline.rotate import NewKeys, rotate
from securepip.signing.publish import refresh as refreshing
from securepip.signing.publish.add import add
from securepip.signing.publish.refresh import refresh
from securepip.signing.repository.claim_tree import Claim
from securepip.signing.repository.repository import Repository
from securepip.signing.repository.state.log import Log
from securepip.updater import checked as checking
from tests.attacks.tables.thief import Thief
from tests.attacks.tables.victim import ONLINE, Victim, copy_served
from tests.attacks.tables.world import opened
from tests.support.hostile import serve_hostile
from tests.support.machine import Machine
from tests.support.maintainers import Maintainers
from tests.support.wheels import make_wheel

APP = NormalizedName("app")
Command = Callable[[Repository, Path], object]


@pytest.fixture
def victim(tmp_path: Path) -> Victim:
    """Its `claimed` from before the claim is so old that it is due to be renewed."""
    return Victim(tmp_path, 20)


def claims_app_for_himself(victim: Victim) -> str:
    """Put the thief's state on the server: a second claim of `app`, with his own key."""
    thief = victim.thief()
    thief.claim("app")
    copy_served(thief.folder, victim.world.made.folder)
    return thief.keyid


def forgets_the_claim(victim: Victim) -> str:
    """Put the thief's state on the server: the snapshot names `claimed` from before the claim."""
    thief = victim.thief()
    thief.forget_claims()
    thief.finish()
    copy_served(thief.folder, victim.world.made.folder)
    return thief.keyid


def claimed_app(victim: Victim) -> Claim | None:
    with opened(victim.world.made) as repository:
        return repository.roles().claims_below("claimed").find(APP)


@contextmanager
def _unchecked(repository: Repository) -> Iterator[None]:
    with repository.lock():
        yield


@pytest.fixture
def unchecked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take out the check of the state on the server."""
    for module in (promoting, rotating, refreshing, steps):
        monkeypatch.setattr(module, "accounted", _unchecked)
    monkeypatch.setattr(promoting, "_check_not_claimed", lambda claimed, claim: None)
    monkeypatch.setattr(Log, "check_made", lambda self, timestamp: None)


def test_without_the_check_the_offline_key_gives_the_thief_what_he_claims(
    victim: Victim, unchecked: None
) -> None:
    own = claims_app_for_himself(victim)
    with opened(victim.world.made) as repository:
        promote(repository)
    found = claimed_app(victim)
    assert found is not None
    assert found.holders.keyids == [own]


def test_without_the_check_the_offline_key_signs_the_claim_away(
    victim: Victim, unchecked: None, machine: Machine
) -> None:
    forgets_the_claim(victim)
    with opened(victim.world.made) as repository:
        assert "claimed" in refresh(repository, offline=True).signed
    assert claimed_app(victim) is None


COMMANDS: dict[str, Command] = {
    "promote": lambda repository, folder: promote(repository),
    "refresh": lambda repository, folder: refresh(repository, offline=True),
    "rotate": lambda repository, folder: rotate(repository, "claimed", NewKeys(folder / "keys")),
    "ceremony": lambda repository, folder: steps.prepare(
        repository, folder / "bundle", renew=["claimed"]
    ),
    # The online key signs here: it would cover the thief's traces for later commands.
    "add": lambda repository, folder: add(repository, [make_wheel(folder, "new", "1.0")]),
    "online refresh": lambda repository, folder: repository.renew_timestamp(),
}


@pytest.mark.parametrize("trick", [claims_app_for_himself, forgets_the_claim])
def test_no_command_signs_on_top_of_what_the_thief_has_prepared(
    victim: Victim, tmp_path: Path, machine: Machine, trick: Callable[[Victim], str]
) -> None:
    made = victim.world.made
    trick(victim)
    metadata = made.folder / "metadata"
    before = {path.name: path.read_bytes() for path in metadata.iterdir()}
    for name, command in COMMANDS.items():
        with opened(made) as repository, pytest.raises(SecurepipError) as refused:
            command(repository, tmp_path)
        assert "was not signed by this repository" in str(refused.value.meaning), name
        assert "repo recover" in str(refused.value.remedy), name
    assert {path.name: path.read_bytes() for path in metadata.iterdir()} == before
    audit = machine.run("repo", "audit", made.folder)
    assert audit.code == 1
    assert "It was not signed by this repository" in audit.err
    # The remedy: a person decides which of two states is genuine.
    keys = ("--keys", made.online_keys, "--offline-keys", made.offline_keys)
    done = machine.run("repo", "recover", made.folder, "--good", victim.good, "--yes", *keys)
    assert done.code == 0, done.err
    found = claimed_app(victim)
    assert found is not None
    assert found.holders == victim.owner.holders
    assert machine.run("repo", "promote", made.folder, *keys).code == 0
    assert machine.run("repo", "audit", made.folder).code == 0


def test_keys_that_are_lost_are_not_replaced_on_top_of_what_the_thief_has_prepared(
    victim: Victim, tmp_path: Path
) -> None:
    made, successor = victim.world.made, Maintainers.of(1)
    state = state_in(made.repository, APP)
    request = successor.write(
        draft(state, state.page, holders=successor.holders, lost=True), tmp_path
    )
    claims_app_for_himself(victim)
    with opened(made) as repository, pytest.raises(SecurepipError) as refused:
        accept_claim(repository, request, replace_keys=True)
    assert "was not signed by this repository" in str(refused.value.meaning)


@pytest.mark.parametrize("checked", [False, True])
def test_a_client_that_knows_a_version_is_given_no_other_under_its_number(
    victim: Victim,
    machine: Machine,
    unchecked: None,
    monkeypatch: pytest.MonkeyPatch,
    checked: bool,
) -> None:
    """An offline key has nevertheless signed `claimed` without the claim, as version 2 again."""
    made = victim.world.made
    if not checked:
        monkeypatch.setattr(checking, "check_same_version", lambda *arguments, **more: None)
    with serve_hostile(made.folder) as server:
        machine.trust(made, server.url)
        assert machine.install("--dry-run", "app").code == 0
        forgets_the_claim(victim)
        for path in (made.folder / "metadata").glob("2.claimed*.json"):
            path.unlink()  # otherwise the version would be skipped
        with opened(made) as repository:
            refresh(repository, offline=True)
        thief = Thief(victim.world, machine.folder / "another-thief", ONLINE)
        thief.offer("app", "9.0", "bin-n")
        server.folder = thief.folder
        done = machine.install("app")
    if checked:
        assert done.code == 3
        assert "was seen at version 2 with other contents" in done.err
    else:
        assert machine.version_of("app") == "9.0"
