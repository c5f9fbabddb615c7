"""Checks that an attack has worked on plain pip."""

from __future__ import annotations

import importlib.metadata

from tests.attacks.laboratory.world import PIECES, Wanted, World
from tests.support.machine import Finished, Machine


def versions(machine: Machine) -> dict[str, str]:
    """The installed versions by name, from their metadata."""
    found = importlib.metadata.distributions(path=[str(machine.site_packages)])
    return {each.metadata["Name"]: each.version for each in found}


def has(name: str, version: str) -> Wanted:
    """Pip has installed this release."""

    def has_it(machine: Machine, _world: World, _done: Finished) -> bool:
        return versions(machine).get(name) == version

    return has_it


def has_old_and_new(machine: Machine, _world: World, _done: Finished) -> bool:
    """Pip has installed two releases that were never current together."""
    installed = versions(machine)
    return (installed.get("app"), installed.get("lib")) == ("2.0", "2.0")


def runs_it(machine: Machine, world: World, _done: Finished) -> bool:
    """The attacker's code has run."""
    machine.command(machine.python, "-c", "import app")
    return world.evidence.exists()


def reads_all_of_it(_machine: Machine, world: World, _done: Finished) -> bool:
    """Pip has read all of an endless answer."""
    return world.sent >= PIECES


def tells_the_terminal(_machine: Machine, _world: World, done: Finished) -> bool:
    """Pip's output moves the cursor or clears the screen."""
    return "\x1b[2J" in done.out + done.err
