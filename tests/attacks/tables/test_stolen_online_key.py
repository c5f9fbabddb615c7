"""A thief has the server and its online key: what a claim protects then, and the recovery.

``app`` is claimed now. In the earlier state it was not.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from packaging.utils import NormalizedName

from tests.attacks.refusals import assert_refused
from tests.attacks.tables.thief import Thief
from tests.attacks.tables.victim import ONLINE, Victim, copy_served
from tests.attacks.tables.world import EXPIRY, SERVED, opened
from tests.support.hostile import HostileServer, serve_hostile
from tests.support.machine import Machine
from tests.support.maintainers import Maintainers, claim


@pytest.fixture
def victim(tmp_path: Path) -> Victim:
    return Victim(tmp_path, 10)


@pytest.fixture
def server(victim: Victim) -> Iterator[HostileServer]:
    """A server for the genuine repository, until a test changes its folder."""
    with serve_hostile(victim.world.made.folder) as hostile:
        yield hostile


@pytest.fixture
def seen(machine: Machine, victim: Victim, server: HostileServer) -> Machine:
    """A client that has seen the claim, and has installed nothing."""
    machine.trust(victim.world.made, server.url)
    assert machine.install("--dry-run", "app").code == 0
    return machine


@pytest.mark.parametrize("via", ["recently-claimed", "bin-n"])
def test_a_client_that_has_seen_the_claim_is_given_nothing_else(
    victim: Victim, seen: Machine, server: HostileServer, via: str
) -> None:
    thief = victim.thief()
    thief.offer("app", "9.0", via)
    server.folder = thief.folder
    done = seen.install("app")
    assert done.code == 0, done.err
    assert seen.version_of("app") == "2.0"


def test_the_same_thief_changes_what_is_not_claimed(
    victim: Victim, seen: Machine, server: HostileServer
) -> None:
    """The counterpart: the attack above fails only because of the claim."""
    thief = victim.thief()
    thief.offer("other", "9.0", "bin-n")
    server.folder = thief.folder
    assert seen.install("other").code == 0
    assert seen.version_of("other") == "9.0"


def test_a_claim_is_not_hidden_from_a_client_that_has_seen_it(
    victim: Victim, seen: Machine, server: HostileServer
) -> None:
    """`claimed` from before the claim is still signed, and not expired."""
    thief = victim.thief()
    thief.forget_claims()
    thief.offer("app", "9.0", "bin-n")
    server.folder = thief.folder
    assert_refused(seen.install("app"), server, r"metadata/\d+\.snapshot\.json")
    assert seen.version_of("app") is None


def test_a_claimed_project_is_not_rolled_back_for_a_client_that_has_seen_it(
    victim: Victim, seen: Machine, server: HostileServer
) -> None:
    old = replace(victim.world, earlier=victim.good)
    thief = Thief(old, victim.good.with_name("thief"), ONLINE)
    thief.mix("app")
    server.folder = thief.folder
    assert_refused(seen.install("app"), server, r"metadata/\d+\.snapshot\.json")
    assert seen.version_of("app") is None


@pytest.mark.parametrize(("days", "expected"), [(10, "9.0"), (EXPIRY.claimed + 1, None)])
def test_a_new_client_is_deceived_only_until_the_last_claimed_from_before_the_claim_expires(
    machine: Machine, tmp_path: Path, days: int, expected: str | None
) -> None:
    """It has seen no newer `claimed` than the old one."""
    victim = Victim(tmp_path, days)
    thief = victim.thief()
    thief.forget_claims()
    thief.offer("app", "9.0", "bin-n")
    with serve_hostile(thief.folder) as server:
        machine.trust(victim.world.made, server.url)
        done = machine.install("app")
        assert done.code == (0 if expected else 3), done.err
        assert (
            expected or "metadata/1.claimed.json of the repository 'made' has expired" in done.err
        )
        assert machine.version_of("app") == expected


@pytest.mark.parametrize("ahead", [0, 1 << 40], ids=["next-version", "fast-forward"])
def test_recovery_brings_the_repository_and_its_clients_back(
    victim: Victim, seen: Machine, server: HostileServer, ahead: int
) -> None:
    """Also a client that accepted the thief's state; and the later releases of `app` are kept."""
    made, good = victim.world.made, victim.good
    thief = victim.thief()
    thief.fast_forward(ahead)
    thief.offer("other", "9.0", "bin-n")
    for name in SERVED:
        shutil.rmtree(made.folder / name)
    copy_served(thief.folder, made.folder)
    assert seen.install("other").code == 0
    assert seen.version_of("other") == "9.0"
    assert "was not signed" in seen.run("repo", "audit", made.folder).err
    keys = ("--keys", made.online_keys, "--offline-keys", made.offline_keys)
    done = seen.run("repo", "recover", made.folder, "--good", good, "--yes", *keys)
    assert done.code == 0, done.err
    assert "kept, as the project itself signed it: app" in done.out
    assert "restored: simple/other/index.json" in done.out
    done = seen.install("--force-reinstall", "app", "other")
    assert done.code == 0, done.err
    assert seen.version_of("app") == "2.0"
    assert seen.version_of("other") == "1.0"
    assert seen.run("repo", "audit", made.folder).code == 0
    # The stolen key can sign nothing any more, and the claim still holds.
    victim.reopen()
    victim.release("3.0")
    assert seen.install("-U", "app").code == 0
    assert seen.version_of("app") == "3.0"


def test_what_was_claimed_by_leave_of_the_online_key_alone_claims_again(
    victim: Victim, machine: Machine
) -> None:
    """PEP 480: recently-claimed is cleared. The project is as in the copy, and the bins have it."""
    made = victim.world.made
    newcomer = Maintainers.of(1)
    claim(made, "other", newcomer)
    copy_served(made.folder, victim.good)
    keys = ("--keys", made.online_keys, "--offline-keys", made.offline_keys)
    done = machine.run("repo", "recover", made.folder, "--good", victim.good, "--yes", *keys)
    assert done.code == 0, done.err
    assert "has to claim again: other" in done.out
    with opened(made) as repository:
        assert repository.roles().claim(NormalizedName("other")) is None
        assert repository.roles().claim(NormalizedName("app")) is not None
    machine.trust(made, str(made.folder))
    assert machine.install("app", "other").code == 0
    made = replace(made, repository=opened(made))
    claim(made, "other", newcomer)
