"""The top of the command line: global options, the commands, and how errors become exit codes.

A command is a module with ``add_to(commands)``: it adds its parser and sets ``run``, a function
of the parsed arguments that returns an exit code. What a command needs is imported when it runs,
so that ``securepip --help`` is instant.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from securepip import __version__
from securepip.cli import console, repo
from securepip.errors import SecurepipError


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command line and return its exit code: 0 done, 1 failed, 2 usage, 3 not verified."""
    arguments = build_parser().parse_args(argv)
    console.configure(
        verbosity=arguments.verbose - arguments.quiet, colour=not arguments.no_color
    )
    try:
        return int(arguments.run(arguments))
    except SecurepipError as error:
        if arguments.debug:
            raise
        console.show_error(error)
        return error.exit_code
    except KeyboardInterrupt:
        print("Operation cancelled by user", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # The reader (`| head`) went away; nothing is left to tell it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def build_parser() -> argparse.ArgumentParser:
    """The parser of the whole command line."""
    parser = argparse.ArgumentParser(
        prog="securepip",
        description="pip install, with every byte checked against what was signed.",
        allow_abbrev=False,
    )
    parser.add_argument("-V", "--version", action="version", version=f"securepip {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for command in (repo,):
        command.add_to(commands)
    return parser


def add_general_options(parser: argparse.ArgumentParser) -> None:
    """The options that every command takes, with pip's meaning."""
    general = parser.add_argument_group("general options")
    general.add_argument("-v", "--verbose", action="count", default=0, help="say more")
    general.add_argument("-q", "--quiet", action="count", default=0, help="say less")
    general.add_argument("--no-color", action="store_true", help="no colour")
    general.add_argument("--no-input", action="store_true", help="never ask")
    general.add_argument("--debug", action="store_true", help="show tracebacks")
