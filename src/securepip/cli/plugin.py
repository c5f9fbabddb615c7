"""``securepip plugin``: makes pip itself verify what it installs, in one environment."""

from __future__ import annotations

import argparse
import os

from securepip.cli import console
from securepip.cli.options import add_general_options


def complete(parser: argparse.ArgumentParser) -> None:
    """Add the commands of ``plugin``."""
    verbs = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for verb, run, text in (
        ("enable", _enable, "from now on, pip installs only what is verified"),
        ("disable", _disable, "leave pip alone again"),
        ("status", _status, "try whether pip verifies, and say what is not covered"),
    ):
        one = verbs.add_parser(verb, help=text, allow_abbrev=False)
        one.add_argument(
            "--python", metavar="PYTHON",
            help="the environment: its interpreter, or its folder (default: the one that securepip "
            "is in; where pipx or uv made that, the active one)",
        )  # fmt: skip
        one.set_defaults(run=run)
        add_general_options(one)


def _enable(arguments: argparse.Namespace) -> int:
    return enable(arguments.python)


def _disable(arguments: argparse.Namespace) -> int:
    return disable(arguments.python)


def _status(arguments: argparse.Namespace) -> int:
    return status(arguments.python)


def enable(python: str | None) -> int:
    """Enable the plugin, in the environment whose interpreter or folder is ``python``."""
    from securepip.plugin import environment as environments

    environment = environments.find_environment(python)
    environments.enable(environment)
    console.say(
        f"pip {environment.pip} of {environment.python} installs only what is verified, from now "
        "on."
    )
    return 0


def disable(python: str | None) -> int:
    """Disable the plugin, in the environment whose interpreter or folder is ``python``."""
    from securepip.plugin import environment as environments

    environment = environments.find_environment(python)
    was_enabled = environment.is_enabled
    environments.disable(environment)
    console.say(
        f"pip of {environment.python} is as it was: nothing that it installs is verified."
        if was_enabled
        else f"The plugin was not enabled for {environment.python}."
    )
    return 0


def status(python: str | None) -> int:
    """Test whether pip verifies in that environment, and print what the plugin does not cover.

    Returns:
        1 where the plugin is not enabled or does not work.
    """
    from securepip.plugin import environment as environments
    from securepip.plugin.shim.seams import SWITCH

    if SWITCH in os.environ:
        console.warn(f"{SWITCH} is set here: while it is, pip verifies nothing.")
    environment = environments.find_environment(python)
    state = environments.status(environment)
    if not state.enabled:
        console.say(f"The plugin is not enabled for {environment.python}.")
        return 1
    if state.works:
        console.say(f"pip {environment.pip} of {environment.python} installs what is verified.")
    else:
        console.warn(f"the plugin of {environment.python} does not work\n{state.problem}")
    console.say("Not covered:")
    for limit in environments.LIMITS:
        console.say(f"- {limit}")
    return 0 if state.works else 1
