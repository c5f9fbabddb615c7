"""Each attack of the laboratory, by each way in: it works on plain pip, and not on securepip."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import nullcontext

import pytest

from securepip.signing.overlay import details
from tests.attacks.clock import clock_set_by
from tests.attacks.laboratory.attacks import SERVED
from tests.attacks.laboratory.signers import SIGNED
from tests.attacks.laboratory.ways import WAYS, Victim, assert_harmless, trust
from tests.attacks.laboratory.world import PIECES, World
from tests.attacks.marks import PLAIN_PIP, attack
from tests.support.machine import Machine
from tests.support.patience import impatient

ATTACKS = SERVED | SIGNED
OWN_PROCESS = {"plugin"}
"""Ways in that run in a new process, in which a test cannot shorten the time limits."""

CASES = [
    pytest.param(way, name, marks=attack(what.kind, way), id=f"{way}-{name.replace(' ', '-')}")
    for name, what in ATTACKS.items()
    for way in WAYS
    if way not in what.not_by
    and not (what.needs_signatures and way == "first use")
    and not ((what.kind == "slow retrieval" or what.days) and way in OWN_PROCESS)
]
PIP_CASES = [
    pytest.param(name, marks=attack(what.kind, PLAIN_PIP), id=name.replace(" ", "-"))
    for name, what in ATTACKS.items()
    if what.fools_pip
]


@pytest.mark.parametrize("name", PIP_CASES)
def test_plain_pip_does_what_the_attacker_wants(machine: Machine, world: World, name: str) -> None:
    what = ATTACKS[name]
    if what.before:
        what.before(world)
    world.bomb = 48
    what.act(world)
    done = machine.pip_install(f"{world.server.url}simple/", "app")
    assert what.fools_pip
    assert what.fools_pip(machine, world, done), done


@pytest.mark.parametrize(("way", "name"), CASES)
def test_an_attack_is_refused_in_words_and_changes_nothing(
    victim_of: Callable[[str], Victim],
    world: World,
    way: str,
    name: str,
    monkeypatch: pytest.MonkeyPatch,
    record_property: Callable[[str, object], None],
) -> None:
    what, victim = ATTACKS[name], victim_of(way)
    if what.kind == "slow retrieval":
        impatient(monkeypatch, re.escape(world.server.url) + world.wheels, 0.3)
    monkeypatch.setattr(details, "MAX_READ_BYTES", 8 << 20)  # read to learn the length of a file
    if what.before:
        what.before(world)
    trust(victim, way)
    before, versions = victim.everything(), victim.versions()
    what.act(world)
    with clock_set_by(what.days) if what.days else nullcontext():
        outcome = WAYS[way](victim)

    record_property("outcome", outcome.code)
    passed_over = outcome.code == 0 and (way == "lock" or way in what.passed_over_by)
    allowed = (1,) if way in OWN_PROCESS else what.codes
    if way == "first use":
        allowed = what.unseen_codes or allowed
    if not passed_over:
        assert outcome.code in allowed, outcome
        assert not what.names_server or world.server.url in outcome.said, outcome.said
        assert "Successfully" not in outcome.said
        assert victim.everything() == before, "nothing is installed or written"
    assert_harmless(outcome.said)
    assert not world.evidence.exists(), "nothing of the attacker's runs"
    after = victim.versions()
    assert all(after[path] >= version for path, version in versions.items())
    most = world.bomb if what.kind == "decompression bombs" else PIECES
    assert world.sent < most, "what has no end is cut off"
