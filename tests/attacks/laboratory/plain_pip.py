"""What plain pip has done when an attack has worked: the proof that there is something to stop."""

from __future__ import annotations

import importlib.metadata

from tests.attacks.laboratory.world import PIECES, Wanted, World
from tests.support.machine import Finished, Machine


def versions(machine: Machine) -> dict[str, str]:
    """What is installed, as its metadata says it."""
    found = importlib.metadata.distributions(path=[str(machine.site_packages)])
    return {each.metadata["Name"]: each.version for each in found}


def has(name: str, version: str) -> Wanted:
    """It has installed a release."""

    def has_it(machine: Machine, _world: World, _done: Finished) -> bool:
        return versions(machine).get(name) == version

    return has_it


def has_old_and_new(machine: Machine, _world: World, _done: Finished) -> bool:
    """It has installed two releases of which nobody could have had both."""
    installed = versions(machine)
    return (installed.get("app"), installed.get("lib")) == ("2.0", "2.0")


def runs_it(machine: Machine, world: World, _done: Finished) -> bool:
    """The attacker's code runs."""
    machine.command(machine.python, "-c", "import app")
    return world.evidence.exists()


def reads_all_of_it(_machine: Machine, world: World, _done: Finished) -> bool:
    """It reads what does not end, as long as it does not end."""
    return world.sent >= PIECES


def tells_the_terminal(_machine: Machine, _world: World, done: Finished) -> bool:
    """What it prints moves the cursor, or clears the screen."""
    return "\x1b[2J" in done.out + done.err
