"""The worlds, each made once, and attacks on their clients."""

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
    """Makes the world whose past is so many days ago."""
    made: dict[int, World] = {}

    def of(days: int) -> World:
        if days not in made:
            with mock.patch.object(os, "sync"):  # no test needs protection from a power failure
                made[days] = build(tmp_path_factory.mktemp(f"world-{days}"), days)
        return made[days]

    return of


class Attack:
    """Makes attacks on a real client, and returns what it installs."""

    def __init__(self, machine: Machine, worlds: Worlds, tmp_path: Path) -> None:
        self._machine = machine
        self._worlds = worlds
        self._folder = tmp_path

    def malicious_update(self, stolen: Collection[str], project: str, via: str) -> str:
        """What a client that has seen the genuine state installs from the evil one."""
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
        """As ``freeze``, and the thief's own keys sign the expired roles again."""
        world = self._worlds(days)
        thief = Thief(world, self._folder / "thief", stolen, world.earlier)
        thief.offer(project, "1.0", via)
        return self._install(world, None, thief, project)[0]

    def inconsistency(
        self, stolen: Collection[str], old: str, new: str, via: str | None = None
    ) -> list[str]:
        """What a client installs that is shown the old state of ``old`` and the new one of ``new``.

        With ``via``, the old state is signed again; otherwise the snapshot lists the earlier role.
        """
        world = self._worlds(10)
        thief = Thief(world, self._folder / "thief", stolen)
        if via is None:
            thief.mix(old)
        else:
            thief.offer(old, "1.0", via)
        return self._install(world, None, thief, old, new)

    def _install(self, world: World, seen: Path | None, thief: Thief, *projects: str) -> list[str]:
        """The installed versions of ``projects``, or that the install was refused."""
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
    """The attacks that a thief can make."""
    return Attack(machine, worlds, tmp_path)
