"""``securepip plugin``: ``pip install`` itself is verified, in an environment where it is on."""

from __future__ import annotations

import argparse
import os
from typing import TYPE_CHECKING

from securepip.cli import console
from securepip.cli.options import add_general_options

if TYPE_CHECKING:
    from securepip.plugin.environment import Environment


def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``plugin`` and its own commands."""
    plugin = commands.add_parser("plugin", help="let pip itself verify what it installs")
    verbs = plugin.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for verb, run, text in (
        ("enable", _enable, "from now on, pip installs only what is verified"),
        ("disable", _disable, "leave pip alone again"),
        ("status", _status, "try whether pip verifies, and say what is not covered"),
    ):
        one = verbs.add_parser(verb, help=text, allow_abbrev=False)
        one.add_argument(
            "--python", metavar="PYTHON",
            help="the environment: its interpreter, or its folder (default: securepip's own)",
        )  # fmt: skip
        one.set_defaults(run=run)
        add_general_options(one)


def _enable(arguments: argparse.Namespace) -> int:
    from securepip.plugin.environment import enable

    environment = _environment(arguments)
    enable(environment)
    console.say(
        f"pip {environment.pip} of {environment.python} installs only what is verified, from now "
        "on."
    )
    return 0


def _disable(arguments: argparse.Namespace) -> int:
    from securepip.plugin.environment import disable

    environment = _environment(arguments)
    was_enabled = environment.is_enabled
    disable(environment)
    console.say(
        f"pip of {environment.python} is as it was: nothing that it installs is verified."
        if was_enabled
        else f"The plugin was not enabled for {environment.python}."
    )
    return 0


def _status(arguments: argparse.Namespace) -> int:
    from securepip.plugin.environment import LIMITS, status
    from securepip.plugin.shim import SWITCH

    if SWITCH in os.environ:
        console.warn(f"{SWITCH} is set here: while it is, pip verifies nothing.")
    environment = _environment(arguments)
    found = status(environment)
    if not found.enabled:
        console.say(f"The plugin is not enabled for {environment.python}.")
        return 1
    if found.works:
        console.say(f"pip {environment.pip} of {environment.python} installs what is verified.")
    else:
        console.warn(f"the plugin of {environment.python} does not work\n{found.problem}")
    console.say("Not covered:")
    for limit in LIMITS:
        console.say(f"- {limit}")
    return 0 if found.works else 1


def _environment(arguments: argparse.Namespace) -> Environment:
    from securepip.plugin.environment import find_environment

    return find_environment(arguments.python)
