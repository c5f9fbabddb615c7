"""Attacks from around the user have no effect by any way in, and reveal no password."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import contextmanager

import pytest

from tests.attacks.laboratory import plain_pip
from tests.attacks.laboratory.surroundings import SECRET, SURROUNDINGS
from tests.attacks.laboratory.ways import WAYS, Victim, assert_harmless, trust
from tests.attacks.laboratory.world import World
from tests.attacks.marks import PLAIN_PIP, attack
from tests.support.machine import Machine

CASES = [
    pytest.param(way, name, marks=attack(what.kind, way), id=f"{way}-{name.replace(' ', '-')}")
    for name, what in SURROUNDINGS.items()
    for way in WAYS
    if way not in what.not_by
]
PIP_CASES = [
    pytest.param(name, marks=attack(what.kind, PLAIN_PIP), id=name.replace(" ", "-"))
    for name, what in SURROUNDINGS.items()
    if what.fools_pip
]


@pytest.mark.parametrize("name", PIP_CASES)
def test_plain_pip_takes_what_the_attacker_offers(
    machine: Machine, world: World, name: str
) -> None:
    victim = Victim(machine, world)
    with contextmanager(SURROUNDINGS[name].around)(victim, PLAIN_PIP):
        done = machine.pip_install(f"{world.server.url}simple/", "app")
    assert plain_pip.versions(machine)["app"] == "9.0", done


@pytest.mark.parametrize(("way", "name"), CASES)
def test_the_attack_is_passed_over(
    victim_of: Callable[[str], Victim],
    world: World,
    way: str,
    name: str,
    record_property: Callable[[str, object], None],
) -> None:
    what, victim = SURROUNDINGS[name], victim_of(way)
    trust(victim, way, what.credentials)
    with contextmanager(what.around)(victim, way):
        before = victim.everything()
        outcome = WAYS[way](victim)

    record_property("outcome", outcome.code)
    if way in what.refused_by:
        assert outcome.code == 1, outcome
        assert victim.everything() == before
    else:
        assert outcome.code == 0, outcome
    assert not world.evidence.exists(), "nothing of the attacker's runs"
    assert_harmless(outcome.said)
    assert SECRET not in outcome.said
