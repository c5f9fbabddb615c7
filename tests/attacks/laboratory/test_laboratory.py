"""Every attack of the laboratory by every way in: plain pip falls for it, securepip does not."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import pytest

from securepip.signing.overlay import details
from securepip.signing.repository.repository import Repository
from securepip.transport import watch
from tests.attacks.clock import clock_set_by
from tests.attacks.laboratory.attacks import ATTACKS
from tests.attacks.laboratory.ways import WAYS, Victim, trust
from tests.attacks.laboratory.world import PIECES, World
from tests.attacks.marks import PLAIN_PIP, attack
from tests.support.builds import MAKER_CODE, make_built, make_maker
from tests.support.hostile import serve_hostile
from tests.support.machine import Machine
from tests.support.repositories import MadeRepository, make_repository
from tests.support.wheels import make_wheel

OWN_PROCESS = {"plugin"}
"""Ways that run in a process of their own, whose limits of time no test shortens."""

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


@pytest.fixture(scope="session")
def laboratory_repository(tmp_path_factory: pytest.TempPathFactory) -> MadeRepository:
    """``app`` (requires ``lib``) and ``built`` (``maker`` builds it). Not to be changed."""
    folder = tmp_path_factory.mktemp("laboratory")
    built = folder / "wheels"
    return make_repository(
        folder / "repository",
        make_wheel(built, "app", "1.0"),
        make_wheel(built, "app", "2.0", requires=["lib"]),
        make_wheel(built, "lib", "1.0"),
        make_wheel(built, "other", "1.0"),
        make_built(built),
        make_maker(built, "1.0"),
        make_maker(built, "2.0"),
    )


@pytest.fixture
def world(laboratory_repository: MadeRepository, tmp_path: Path) -> Iterator[World]:
    """A world of the test's own."""
    folder = tmp_path / "world"
    copy = folder / "repository"
    shutil.copytree(laboratory_repository.folder, copy)
    made = replace(
        laboratory_repository,
        folder=copy,
        repository=Repository.open(copy),
        root=copy / "metadata" / "1.root.json",
    )
    with serve_hostile(copy) as server:
        yield World(made, server, folder)


@pytest.fixture
def victim_of(
    world: World,
    tmp_path: Path,
    empty_environment: Path,
    enabled_environment: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Callable[[str], Victim]:
    """Make the machine of somebody who goes a way."""

    def victim_of(way: str) -> Victim:
        monkeypatch.setattr("securepip.first_use.memory.FRESH_SECONDS", 0.0)
        environment = enabled_environment if way == "plugin" else empty_environment
        (tmp_path / "victim").mkdir()
        machine = Machine(tmp_path / "victim", environment)
        if way != "build":
            return Victim(machine, world)
        world.project, world.code = "maker", {"maker.py": MAKER_CODE}
        return Victim(machine, world, "built")

    return victim_of


@pytest.mark.parametrize("name", PIP_CASES)
def test_plain_pip_does_what_the_attacker_wants(machine: Machine, world: World, name: str) -> None:
    what = ATTACKS[name]
    if what.before:
        what.before(world)
    world.bomb = 48
    what.act(world)
    done = machine.pip_install(f"{world.server.url}simple/", "app")
    assert what.fools_pip
    assert what.fools_pip(machine, world), done


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
        monkeypatch.setattr(watch, "GRACE_SECONDS", 0.3)
        monkeypatch.setattr(watch, "MIN_BYTES_PER_SECOND", 1 << 40)
    monkeypatch.setattr(details, "MAX_READ_BYTES", 8 << 20)  # read to learn how long a file is
    if what.before:
        what.before(world)
    trust(victim, way)
    before, versions = victim.everything(), victim.versions()
    what.act(world)
    with clock_set_by(what.days) if what.days else nullcontext():
        outcome = WAYS[way](victim)

    record_property("outcome", outcome.code)
    untouched = way == "lock" and outcome.code == 0
    allowed = (1,) if way in OWN_PROCESS else what.codes
    if way == "first use":
        allowed = what.unseen_codes or allowed
    assert untouched or outcome.code in allowed, outcome
    assert untouched or world.server.url in outcome.said, outcome.said
    assert "Traceback" not in outcome.said
    assert "Successfully" not in outcome.said
    assert victim.everything() == before, "nothing is installed or written"
    assert not world.evidence.exists(), "nothing of the attacker's runs"
    after = victim.versions()
    assert all(after[path] >= version for path, version in versions.items())
    most = world.bomb if what.kind == "decompression bombs" else PIECES
    assert world.sent < most, "what has no end is cut off"
