"""A world to attack, and the machines of its victims."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.attacks.laboratory.ways import Victim
from tests.attacks.laboratory.world import World
from tests.plugin.conftest import enabled_environment, pip_environment
from tests.support.builds import MAKER_CODE, make_built, make_maker
from tests.support.hostile import serve_hostile
from tests.support.machine import Machine
from tests.support.repositories import MadeRepository, copy_repository, make_repository
from tests.support.wheels import make_wheel

__all__ = ["enabled_environment", "pip_environment"]


@pytest.fixture(scope="session")
def laboratory_repository(tmp_path_factory: pytest.TempPathFactory) -> MadeRepository:
    """``app``, which requires ``lib``, and ``built``, whose build backend is ``maker``.

    Tests do not change it.
    """
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
    """A world with a copy of that repository, which a test may change."""
    folder = tmp_path / "world"
    made = copy_repository(laboratory_repository, folder / "repository")
    with serve_hostile(made.folder) as server:
        yield World(made, server, folder)


@pytest.fixture
def victim_of(
    world: World,
    tmp_path: Path,
    empty_environment: Path,
    enabled_environment: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Callable[[str], Victim]:
    """Makes the machine of a user who uses this way in."""

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
