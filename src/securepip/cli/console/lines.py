"""What people read: plain lines on standard output, warnings and errors on standard error.

The forms are pip's (``WARNING: …``, ``ERROR: …``), because people and scripts know them. Colour
and progress appear only on a terminal, and not with ``NO_COLOR``, ``--quiet`` or ``--no-color``.
"""

from __future__ import annotations

import logging
import os
import sys
import traceback
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timezone
from pathlib import Path
from typing import TextIO

from securepip.cli.options import General
from securepip.errors import ConflictError, SecurepipError, UsageError
from securepip.redaction import harmless

_CONFLICT_HELP = (
    "ResolutionImpossible: for help visit https://pip.pypa.io/en/latest/topics/"
    "dependency-resolution/#dealing-with-dependency-conflicts"
)
_OUTPUT = "securepip.output"
_WAITING = "securepip.waiting"
_verbosity = 0
_colour = True
_log_file: TextIO | None = None
_stdout_is_free = False
_show_step: Callable[[str | None], None] | None = None


def configure(general: General) -> None:
    """Set how and where is printed.

    Raises:
        UsageError: The log file cannot be written.
    """
    global _verbosity, _colour, _log_file, _stdout_is_free
    _stdout_is_free = False
    _verbosity = general.verbosity
    _colour = general.colour and not os.environ.get("NO_COLOR")
    _log_file = None if general.log is None else _open_log(Path(general.log))
    log = logging.getLogger("securepip")
    log.handlers, log.propagate = [_LogHandler()], False
    log.setLevel(logging.DEBUG if is_verbose() or _log_file else logging.INFO)
    # What builds print is shown with --verbose alone: its level says whether it is.
    logging.getLogger(_OUTPUT).setLevel(logging.DEBUG if is_verbose() else logging.INFO)


def is_verbose() -> bool:
    """Whether more than usual is said."""
    return _verbosity > 0


def is_quiet() -> bool:
    """Whether less than usual is said."""
    return _verbosity < 0


def has_colour() -> bool:
    """Whether colour may be used, on a terminal."""
    return _colour


def may_move() -> bool:
    """Whether something may move on standard error: it is a terminal, and a person looks at it."""
    return sys.stderr.isatty() and not is_quiet() and os.environ.get("TERM") != "dumb"


def show_steps_with(show: Callable[[str | None], None] | None) -> None:
    """Have the step of a build that is under way shown by ``show``: its words, or None."""
    global _show_step
    _show_step = show


def say(text: str, *, level: int = 0) -> None:
    """Print a line, unless it is quieter than ``level`` here (1 is shown with ``--verbose``)."""
    _record(text)
    if _verbosity >= level:
        _print(harmless(text), sys.stderr if _stdout_is_free else sys.stdout)


def keep_stdout_free() -> None:
    """Say all on standard error from now on: the output is that of another program."""
    global _stdout_is_free
    _stdout_is_free = True


def say_machine(text: str) -> None:
    """Print what a program reads, as it is, however quiet."""
    _print(text, sys.stdout)


def warn(text: str, *, always: bool = False) -> None:
    """Print a warning on standard error; hidden by the second ``--quiet``, unless ``always``."""
    if always or _verbosity > -2:
        _print_error("WARNING", text, "33")
    else:
        _record(f"WARNING: {text}")


def show_error(error: SecurepipError) -> None:
    """Print an error with what it means and what to do; hidden by nothing.

    What conflicts is listed on standard output and only named on standard error: as pip does. As
    pip does, too, ``-vv`` and the log say where the error was raised. That standard output takes
    nothing does not hide what is wrong.
    """
    if isinstance(error, ConflictError):
        _print_error("ERROR", error.what, "31")
        with suppress(BrokenPipeError, SecurepipError):
            say(f"\n{error.meaning}\n\n{error.remedy}\n")
        _print_error("ERROR", _CONFLICT_HELP, "31")
    else:
        _print_error("ERROR", str(error), "31")
    raised = "".join(traceback.format_tb(error.__traceback__))
    # Of several errors in one, the last is what was raised.
    last = error.what.rpartition("\nERROR: ")[2]
    with suppress(BrokenPipeError, SecurepipError):
        say(f"Exception information:\n{raised}{type(error).__name__}: {last}", level=2)


class _LogHandler(logging.Handler):
    """What a room says while it works, in the forms of this module."""

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        began, ended = getattr(record, "begins", None), getattr(record, "ends", None)
        if _show_step is not None and (began or ended):
            # It is shown while it lasts, and said in one line when it is over: as pip does.
            _show_step(began)
            if ended:
                say(f"  {ended[0]} ... {ended[1]}")
        elif record.name == _OUTPUT:
            # As pip: on standard error, also because standard output may be for a program.
            _record(text)
            _print(harmless(text), sys.stderr)
        elif record.name == _WAITING:
            # Who waits is told why, but in the output of a command it means nothing.
            _record(text)
            if _verbosity >= 0:
                _print(harmless(text), sys.stderr)
        elif record.levelno >= logging.WARNING:
            warn(text)
        else:
            say(text, level=0 if record.levelno >= logging.INFO else 1)


def _open_log(path: Path) -> TextIO:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return path.open("a", encoding="utf-8", errors="backslashreplace")
    except OSError as error:
        raise UsageError(f"the log file {path} cannot be written: {error.strerror}") from None


def _record(text: str) -> None:
    if _log_file is not None:
        now = datetime.now(timezone.utc).astimezone().isoformat(timespec="milliseconds")
        _log_file.write("".join(f"{now} {line}\n" for line in harmless(text).splitlines()))
        _log_file.flush()


def _print_error(kind: str, text: str, colour: str) -> None:
    _record(f"{kind}: {text}")
    first, *rest = harmless(text).splitlines() or [""]
    label = f"{kind}:"
    if _colour and sys.stderr.isatty():
        label = f"\033[{colour}m{label}\033[0m"
    # What pip says in several errors is several here too: programs look for each at its beginning.
    lines = (line if line.startswith(f"{kind}: ") else f"  {line}" for line in rest)
    _print("\n".join([f"{label} {first}", *lines]), sys.stderr)


def _print(text: str, stream: TextIO) -> None:
    """Print at once.

    Raises:
        SecurepipError: Standard output takes no more: whatever reads it would miss something.
    """
    try:
        # At once and as a whole: several threads say something.
        stream.write(f"{text}\n")
        stream.flush()
    except BrokenPipeError:
        if stream is not sys.stderr:
            raise
        # Nobody hears of errors any more. Who prints may be a thread that others rely on.
    except OSError as error:
        # What is still in the buffer would be tried again, and complained of, at the end.
        with suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
        if stream is not sys.stderr:  # And where errors cannot be told, there is nobody to tell.
            raise SecurepipError(
                f"standard output cannot be written: {error.strerror}",
                meaning="What was done is done, but not all of it was told.",
                remedy="Look at where the output goes to.",
            ) from None
