"""Adds pip's options to an ``argparse`` parser, for shell completion and man pages.

Rule: no command line is parsed with it; ``pip_commands.parser`` does that, as pip does.
"""

from __future__ import annotations

import argparse
from typing import Any

from securepip.cli.pip_commands.options.table import COMMANDS
from securepip.cli.pip_commands.options.types import Option

_FLAGS = {"store_true", "store_false", "count", "no_cache_dir"}


def describe(parser: argparse.ArgumentParser, command: str) -> None:
    """Add the options of ``command`` to ``parser``."""
    parser.add_argument("arguments", nargs="*", metavar="REQUIREMENT", help="what is wanted")
    for group in COMMANDS[command]:
        arguments = parser.add_argument_group(group.title.lower())
        for option in group.options:
            if option.action != "help" and option.help:
                arguments.add_argument(*option.names, **_settings(option))


def _settings(option: Option) -> dict[str, Any]:
    settings: dict[str, Any] = {"dest": option.dest, "help": option.help.replace("%", "%%")}
    if option.action in _FLAGS:
        return {**settings, "action": "store_true"}
    if option.choices:
        return {**settings, "choices": option.choices}
    return {**settings, "metavar": (option.metavar or option.dest).upper()}
