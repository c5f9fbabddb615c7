"""The top of the command line: global options, the commands, and how errors become exit codes.

The command is found first, and only the module that reads its options is imported; the modules that
do the work are imported when it runs. So ``securepip --help`` is instant, and ``install`` imports
nothing that belongs to another command.
"""

from __future__ import annotations

import argparse
import atexit
import gc
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, NoReturn

from securepip import __version__
from securepip.cli import console
from securepip.cli.options import General, add_general_options
from securepip.cli.parser import Parser, maybe_meant
from securepip.errors import SecurepipError, UsageError

if TYPE_CHECKING:
    from securepip.cli.pip_commands.requests import AnyRequest

_FETCHES = ("index", "wheel")
_LEFT_TO_PIP = (
    "cache", "check", "config", "freeze", "hash", "inspect", "list", "show", "uninstall", *_FETCHES
)  # fmt: skip
"""Commands of pip that people type after ``securepip``; the answer is the pip command to type."""

_BROKEN_STDOUT = 120
"""The exit code that pip also uses when the reader of its output has gone away."""


@dataclass(frozen=True)
class Command:
    """A parsed command line.

    Attributes:
        general: The general options.
        run: Runs the command and returns the exit code.
    """

    general: General
    run: Callable[[], int]


_PIPS = ("install", "download", "lock")
"""Commands that ``pip_commands.parser`` parses, as pip would."""
_SUMMARIES = {
    "install": "install packages, verified",
    "download": "download packages, verified",
    "lock": "write a lock file, pylock.toml, of what install would take",
    "trust": "whose packages this machine trusts",
    "gateway": "the verified index on loopback, for uv, poetry, pdm, pipx, tox and pip",
    "explain": "why a file may be trusted, or why the last run was refused",
    "verify": "whether what is installed is what was signed",
    "plugin": "let pip itself verify what it installs",
    "repo": "make and keep a signed repository",
    "sign": "sign for a project of your own",
    "completion": "print what makes a shell complete these commands",
}
_REMEMBERED = frozenset({*_PIPS, "gateway"})
"""Commands whose last run ``explain --last`` can explain."""

_SHELLS = ("bash", "zsh", "fish")
_RUN_ON = (["gateway"], ["repo", "serve"], ["repo", "worker"])
"""Commands that run until a signal ends them."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command line and return its exit code: 0 done, 1 failed, 2 usage, 3 not verified."""
    words = list(sys.argv[1:] if argv is None else argv)
    debug = False
    _open_closed_streams()
    _leave_gateway()
    # SIGTERM is handled like Ctrl-C: temporary folders are deleted, and pip restores what it can.
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        command = parse(words)
        debug = command.general.debug
        console.configure(command.general)
        code = command.run()
        _remember(words, code)
        return code
    except SecurepipError as error:
        if debug:
            traceback.print_exc()
        console.show_error(error)
        _remember(words, error.exit_code, error)
        return error.exit_code
    except KeyboardInterrupt:
        print("ERROR: Operation cancelled by user", file=sys.stderr)
        return 1
    except BrokenPipeError:
        # The reader (`| head`) went away: the message and the exit code are pip's.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        with suppress(OSError):
            os.write(2, b"ERROR: Pipe to stdout was broken\n")
        return _BROKEN_STDOUT
    except SystemExit:
        # argparse has printed its help. Flush now: a full disk must change the exit code.
        try:
            sys.stdout.flush()
        except OSError:
            with suppress(OSError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 1
        raise
    except Exception as error:  # a defect of securepip; the traceback is only shown with --debug
        if debug:
            traceback.print_exc()
        console.show_error(_of_the_machine(error) or _defect(error))
        return 1


def program() -> NoReturn:
    """Run the command line of this process, and end the process.

    A command makes little cyclic garbage, but with long index pages the collector takes 8 % of the
    run time, so it runs less often. Freeing every object at the end would take another 10 % of a
    short command, so the process ends with ``os._exit``. Commands that run for weeks keep the
    normal collector: otherwise each replaced state of a large repository (one a minute) would stay
    in memory for days.
    """
    if not any(sys.argv[1 : 1 + len(words)] == words for words in _RUN_ON):
        gc.set_threshold(100_000, 50, 100)
    code = main()
    # As the interpreter does when it ends: `atexit` functions run, then the streams are flushed.
    # Where a thread that is no daemon still runs, the interpreter itself has to wait for it.
    if all(
        thread.daemon for thread in threading.enumerate() if thread is not threading.main_thread()
    ):
        atexit._run_exitfuncs()
        with suppress(OSError):
            for stream in (sys.stdout, sys.stderr):
                stream.flush()
            os._exit(code)
    sys.exit(code)


def _open_closed_streams() -> None:
    """Open ``os.devnull`` in place of each standard stream that is closed (``>&-``).

    Otherwise the next file that is opened would get the stream's descriptor, and the output of this
    process and of those that it starts would be written into that file.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            nowhere = os.open(os.devnull, os.O_RDWR)  # gets the lowest free descriptor
            os.set_inheritable(nowhere, True)
            setattr(sys, name, os.fdopen(nowhere, mode, closefd=False))


def _remember(words: Sequence[str], code: int, error: SecurepipError | None = None) -> None:
    """Record the command line and its outcome for ``explain --last``."""
    if words[:1] == ["gateway"] and error is None:
        return  # The gateway has itself recorded what it refused while it ran.
    if not _REMEMBERED.isdisjoint(words):
        from securepip import last_run

        last_run.record(words, code, error)


def _leave_gateway() -> None:
    """Undo a gateway's changes to the environment where this runs as a command inside the gateway.

    So servers are reached directly: this command verifies everything itself.
    """
    # The name is `gateway.surroundings.OUTSIDE`; the module is imported only where it is needed.
    if "SECUREPIP_OUTSIDE_PROXIES" in os.environ:
        from securepip.gateway import surroundings

        surroundings.leave(os.environ)


def _of_the_machine(error: Exception) -> SecurepipError | None:
    """A plain error where the machine is the cause (a full disk, no permission), or None."""
    from securepip.dirs import explained

    return explained(error)


def _defect(error: Exception) -> SecurepipError:
    return SecurepipError(
        f"securepip itself failed: {type(error).__name__}: {error}",
        meaning="This is a defect of securepip; what it had not verified was not used.",
        remedy="Run the command again with --debug, and report what it prints.",
    )


def parse(words: Sequence[str]) -> Command:
    """Parse a command line; only the module that reads that command's options is imported.

    Raises:
        UsageError: One of pip's command lines is not valid, or the command is left to pip.
        SystemExit: The command line is not valid (2), or ``--help`` or ``--version`` was printed.
    """
    from securepip.cli.pip_commands import parser as pip_parser

    if words[:1] == ["help"]:  # as `pip help install`
        words = [*words[1:], "--help"]
    pips = pip_parser.split_command(words)
    if pips is not None:
        return _pips(*pips, words)
    own, inside = _split_inside(words)
    if own and own[0] in _LEFT_TO_PIP:
        verified = " after `securepip plugin enable`, so that what it fetches is verified"
        raise UsageError(
            f"securepip has no command {own[0]!r}; of pip's commands it has install, download and "
            "lock",
            remedy=f"Type `pip {own[0]} …`{verified if own[0] in _FETCHES else ''}.",
        )
    parser = build_parser(own)
    if not own:  # as pip does
        parser.print_help()
        raise SystemExit(0)
    arguments = parser.parse_args(own)
    arguments.inside = inside
    return Command(_general(arguments), partial(arguments.run, arguments))


def _pips(command: str, others: Sequence[str], words: Sequence[str]) -> Command:
    from securepip.cli.pip_commands import parser as pip_parser

    arguments = pip_parser.parse(command, others)
    return Command(
        _general(arguments)._replace(log=arguments.log),
        partial(_run_plain, words, arguments.python)
        if arguments.unsafe
        else partial(_run_pips, pip_parser.request_of(command, arguments)),
    )


def _run_plain(words: Sequence[str], python: str | None) -> int:
    from securepip.cli.pip_commands import plain

    return plain.run(words, python)


def _run_pips(request: AnyRequest) -> int:
    from securepip.cli.pip_commands.requests import DownloadRequest, InstallRequest

    if isinstance(request, InstallRequest):
        from securepip.cli.pip_commands import install

        return install.run(request)
    if isinstance(request, DownloadRequest):
        from securepip.cli.pip_commands import download

        return download.run(request)
    from securepip.cli.pip_commands import lock

    return lock.run(request)


def _general(arguments: argparse.Namespace) -> General:
    return General(arguments.verbose - arguments.quiet, not arguments.no_color, arguments.debug)


def _split_inside(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """Split a line into securepip's own words and the command that ``gateway -- COMMAND`` runs."""
    if words[:1] == ["gateway"] and "--" in words:
        separator = words.index("--")
        return list(words[:separator]), list(words[separator + 1 :])
    return list(words), []


def build_parser(words: Sequence[str]) -> argparse.ArgumentParser:
    """The parser of the command line, with the options of those commands that ``words`` name.

    The options of other commands are left out, and pip's configuration, which gives them their
    defaults, is not read for them.
    """
    parser = Parser(
        prog="securepip",
        description="pip install, with every byte checked against what was signed.",
        allow_abbrev=False,
    )
    parser.add_argument("-V", "--version", action="version", version=f"securepip {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    mistyped = bool(words) and not words[0].startswith("-") and words[0] not in _SUMMARIES
    meant = maybe_meant(words[0], _SUMMARIES) if mistyped else ""
    for name, summary in _SUMMARIES.items():
        usage = f"securepip {name} [options] <requirement> ..." if name in _PIPS else None
        command = commands.add_parser(name, help=summary, usage=usage, allow_abbrev=False)
        if name in words or name == meant:
            _complete(name, command)
    return parser


def _complete(name: str, parser: argparse.ArgumentParser) -> None:
    """Add the options and subcommands of the command ``name``."""
    if name == "trust":
        from securepip.cli.trust import commands as trust

        trust.complete(parser)
    elif name == "explain":
        from securepip.cli.asking import explain

        explain.complete(parser)
    elif name == "verify":
        from securepip.cli.asking import verify

        verify.complete(parser)
    elif name == "plugin":
        from securepip.cli import plugin

        plugin.complete(parser)
    elif name == "gateway":
        from securepip.cli import gateway

        gateway.complete(parser)
    elif name == "repo":
        from securepip.cli.repo import commands as repo

        repo.complete(parser)
    elif name == "sign":
        from securepip.cli.sign import commands as sign

        sign.complete(parser)
    elif name == "completion":
        add_general_options(parser)
        parser.add_argument("shell", choices=_SHELLS, help="the shell that reads it")
        parser.set_defaults(run=_print_completion)


def whole_parser() -> argparse.ArgumentParser:
    """A parser with all commands and options, for shell completion and man pages."""
    from securepip.cli.pip_commands.options import COMMANDS, described

    parser = build_parser(list(_SUMMARIES))
    (commands,) = (each for each in parser._actions if each.nargs == argparse.PARSER)
    for name in COMMANDS:
        described.describe(dict(commands.choices or {})[name], name)
    return parser


def _print_completion(arguments: argparse.Namespace) -> int:
    import shtab

    # Complete file names, as shells do, for arguments and values without a fixed set of choices.
    parser = whole_parser()
    for each in _all_parsers(parser):
        for action in each._actions:
            if action.nargs != 0 and action.choices is None:
                action.complete = shtab.FILE  # type: ignore[attr-defined] # where shtab looks
    print(shtab.complete(parser, arguments.shell))
    return 0


def _all_parsers(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    yield parser
    for action in parser._actions:
        if action.nargs == argparse.PARSER:
            for inner in dict(action.choices or {}).values():
                yield from _all_parsers(inner)
