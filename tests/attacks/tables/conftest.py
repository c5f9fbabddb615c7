"""The worlds, each made once, and the clients that are attacked."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection
from pathlib import Path
from unittest import mock

import pytest

from tests.attacks.tables.thief import Thief
from tests.attacks.tables.world import World, build
from tests.support.hostile import serve_hostile
from tests.support.machine import Machine

Worlds = Callable[[int], World]


@pytest.fixture(scope="session")
def worlds(tmp_path_factory: pytest.TempPathFactory) -> Worlds:
    """The world whose past is so many days ago."""
    made: dict[int, World] = {}

    def of(days: int) -> World:
        if days not in made:
            with mock.patch.object(os, "sync"):  # the power stays on
                made[days] = build(tmp_path_factory.mktemp(f"world-{days}"), days)
        return made[days]

    return of


class Attack:
    """An attack on a real client, and what comes of it."""

    def __init__(self, machine: Machine, worlds: Worlds, tmp_path: Path) -> None:
        self._machine = machine
        self._worlds = worlds
        self._folder = tmp_path

    def malicious_update(self, stolen: Collection[str], project: str, via: str) -> str:
        """What a client that saw the genuine state installs, when it is offered the evil one."""
        world = self._worlds(10)
        thief = Thief(world, self._folder / "thief", stolen)
        thief.offer(project, "9.0", via)
        return self._install(world, world.made.folder, thief, project)[0]

    def freeze(self, stolen: Collection[str], days: int, project: str = "other") -> str:
        """What a client installs that is kept in a state of so many days ago."""
        world = self._worlds(days)
        thief = Thief(world, self._folder / "thief", stolen, world.earlier)
        thief.renew()
        return self._install(world, None, thief, project)[0]

    def replaced_past(self, stolen: Collection[str], days: int, project: str, via: str) -> str:
        """As ``freeze``, where what has expired is signed anew by the thief's own keys."""
        world = self._worlds(days)
        thief = Thief(world, self._folder / "thief", stolen, world.earlier)
        thief.offer(project, "1.0", via)
        return self._install(world, None, thief, project)[0]

    def inconsistency(
        self, stolen: Collection[str], old: str, new: str, via: str | None = None
    ) -> list[str]:
        """What a client installs that is shown ``old`` as it was, and ``new`` as it is.

        With ``via``, the old state is signed anew; else the snapshot lists the earlier role.
        """
        world = self._worlds(10)
        thief = Thief(world, self._folder / "thief", stolen)
        if via is None:
            thief.mix(old)
        else:
            thief.offer(old, "1.0", via)
        return self._install(world, None, thief, old, new)

    def _install(self, world: World, seen: Path | None, thief: Thief, *projects: str) -> list[str]:
        """The versions of ``projects`` that are installed; or that it was refused."""
        refused = ["refused"] * len(projects)
        with serve_hostile(seen or thief.folder) as server:
            words = ("made", server.url, "--root-sha256", world.made.root_sha256)
            done = self._machine.run("trust", "add", *words)
            if seen is not None:
                assert done.code == 0, done.err
            elif done.code != 0:
                assert done.code == 3, done.err
                return refused
            server.folder = thief.folder
            done = self._machine.install(*projects)
        if done.code != 0:
            assert done.code == 3, done.err
            return refused
        return [str(self._machine.version_of(project)) for project in projects]


@pytest.fixture
def attack(machine: Machine, worlds: Worlds, tmp_path: Path) -> Attack:
    """What a thief can try."""
    return Attack(machine, worlds, tmp_path)
