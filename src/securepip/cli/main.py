"""The top of the command line: global options, the commands, and how errors become exit codes.

A command is a module with ``add_to(commands)``: it adds its parser and sets ``run``, a function
of the parsed arguments that returns an exit code; ``install``, ``download`` and
``lock`` have pip's parser. What a command needs is imported when it runs, so that
``securepip --help`` is instant.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
import traceback
from collections.abc import Sequence

from securepip import __version__
from securepip.cli import console, gateway, plugin, trust
from securepip.cli.parser import Parser
from securepip.cli.pip_commands import download, install, lock
from securepip.cli.pip_commands import parser as pip_parser
from securepip.cli.repo import commands as repo
from securepip.cli.sign import commands as sign
from securepip.errors import SecurepipError, UsageError

_FETCHES = ("index", "wheel")
_LEFT_TO_PIP = (
    "cache", "check", "config", "freeze", "hash", "inspect", "list", "show", "uninstall", *_FETCHES
)  # fmt: skip
"""Commands of pip's that people type here because ``install`` is in pip's place."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command line and return its exit code: 0 done, 1 failed, 2 usage, 3 not verified."""
    words = list(sys.argv[1:] if argv is None else argv)
    arguments = None
    # Being ended politely is being interrupted: temporary folders go, pip puts back what it can.
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        arguments = parse(words)
        console.configure(
            verbosity=arguments.verbose - arguments.quiet,
            colour=not arguments.no_color,
            log_file=getattr(arguments, "log", None),
        )
        return int(arguments.run(arguments))
    except SecurepipError as error:
        if arguments is not None and arguments.debug:
            traceback.print_exc()
        console.show_error(error)
        return error.exit_code
    except KeyboardInterrupt:
        print("ERROR: Operation cancelled by user", file=sys.stderr)
        return 1
    except BrokenPipeError:
        # The reader (`| head`) went away; nothing is left to tell it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as error:  # a defect of ours; told in words unless the details are asked for
        if arguments is not None and arguments.debug:
            traceback.print_exc()
        console.show_error(
            SecurepipError(
                f"securepip itself failed: {type(error).__name__}: {error}",
                meaning="This is a defect of securepip; what it had not verified was not used.",
                remedy="Run the command again with --debug, and report what it prints.",
            )
        )
        return 1


def parse(words: Sequence[str]) -> argparse.Namespace:
    """The values of a command line; ``run`` is what does it, ``words`` is the line itself."""
    pips = pip_parser.split_command(words)
    if pips is None:
        own, inside = gateway.split_command(words)
        if own and own[0] in _LEFT_TO_PIP:
            verified = " after `securepip plugin enable`, so that what it fetches is verified"
            raise UsageError(
                f"securepip has no command {own[0]!r}; of pip's it has install, download and lock",
                remedy=f"Type `pip {own[0]} …`{verified if own[0] in _FETCHES else ''}.",
            )
        arguments = build_parser(own).parse_args(own)
        arguments.command = inside
    else:
        command, others = pips
        arguments = pip_parser.parse(command, others)
        runs = {"install": install.run, "download": download.run, "lock": lock.run}
        arguments.run = runs[command]
    arguments.words = words
    return arguments


def build_parser(words: Sequence[str]) -> argparse.ArgumentParser:
    """The parser of the whole command line.

    Args:
        words: The command line; a command takes its defaults from pip's configuration, which is
            read only for the command that is named.
    """
    parser = Parser(
        prog="securepip",
        description="pip install, with every byte checked against what was signed.",
        allow_abbrev=False,
    )
    parser.add_argument("-V", "--version", action="version", version=f"securepip {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    # For the list of commands: these three have a parser of their own.
    commands.add_parser("install", help="install packages, verified")
    commands.add_parser("download", help="download packages, verified")
    commands.add_parser("lock", help="write a lock file, pylock.toml, of what install would take")
    for command in (trust, gateway, plugin, repo, sign):
        command.add_to(commands)
    if "trust" in words:
        trust.configure(commands.choices["trust"])
    if "sign" in words:
        sign.configure(commands.choices["sign"])
    if "gateway" in words:
        gateway.configure(commands.choices["gateway"])
    return parser
