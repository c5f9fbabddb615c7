"""Output for people: plain lines on standard output, warnings and errors on standard error.

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
    """Set how much is printed, whether in colour, and to which log file.

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
    # The output of builds is shown only with --verbose: whoever logs it checks this level.
    logging.getLogger(_OUTPUT).setLevel(logging.DEBUG if is_verbose() else logging.INFO)


def is_verbose() -> bool:
    """Whether ``--verbose`` outweighs ``--quiet``."""
    return _verbosity > 0


def is_quiet() -> bool:
    """Whether ``--quiet`` outweighs ``--verbose``."""
    return _verbosity < 0


def has_colour() -> bool:
    """Whether colour may be used, on a terminal."""
    return _colour


def may_move() -> bool:
    """Whether a progress display may be drawn on standard error: a terminal, and not quiet."""
    return sys.stderr.isatty() and not is_quiet() and os.environ.get("TERM") != "dumb"


def show_steps_with(show: Callable[[str | None], None] | None) -> None:
    """Set the function that displays the current build step; None removes it.

    Args:
        show: Called with the description of a step when it begins, and with None when it ends.
    """
    global _show_step
    _show_step = show


def say(text: str, *, level: int = 0) -> None:
    """Print a line if the verbosity is at least ``level`` (1 is shown with ``--verbose``)."""
    _record(text)
    if _verbosity >= level:
        _print(harmless(text), sys.stderr if _stdout_is_free else sys.stdout)


def keep_stdout_free() -> None:
    """Print messages on standard error from now on: standard output is for a program to read."""
    global _stdout_is_free
    _stdout_is_free = True


def say_machine(text: str) -> None:
    """Print text for a program on standard output, unchanged and even with ``--quiet``."""
    _print(text, sys.stdout)


def warn(text: str, *, always: bool = False) -> None:
    """Print a warning on standard error; hidden by the second ``--quiet``, unless ``always``."""
    if always or _verbosity > -2:
        _print_error("WARNING", text, "33")
    else:
        _record(f"WARNING: {text}")


def show_error(error: SecurepipError) -> None:
    """Print an error with its meaning and remedy, even with ``--quiet``.

    As in pip, the details of a conflict of requirements go to standard output and only its summary
    to standard error, and ``-vv`` and the log show where the error was raised. Where standard
    output cannot be written, the error is still printed on standard error.
    """
    if isinstance(error, ConflictError):
        _print_error("ERROR", error.what, "31")
        with suppress(BrokenPipeError, SecurepipError):
            say(f"\n{error.meaning}\n\n{error.remedy}\n")
        _print_error("ERROR", _CONFLICT_HELP, "31")
    else:
        _print_error("ERROR", str(error), "31")
    raised = "".join(traceback.format_tb(error.__traceback__))
    # Where the text holds several errors, the last is the one that was raised.
    last = error.what.rpartition("\nERROR: ")[2]
    with suppress(BrokenPipeError, SecurepipError):
        say(f"Exception information:\n{raised}{type(error).__name__}: {last}", level=2)


class _LogHandler(logging.Handler):
    """Prints the log records of the rooms in the forms of this module."""

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        began, ended = getattr(record, "begins", None), getattr(record, "ends", None)
        if _show_step is not None and (began or ended):
            # As in pip: displayed while it runs, and one line when it has ended.
            _show_step(began)
            if ended:
                say(f"  {ended[0]} ... {ended[1]}")
        elif record.name == _OUTPUT:
            # On standard error, as in pip, and because standard output may be for a program.
            _record(text)
            _print(harmless(text), sys.stderr)
        elif record.name == _WAITING:
            # Tells the user why nothing happens; it is no part of the command's output.
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
    # Where pip prints several errors, so does this: programs look for "ERROR: " at line starts.
    lines = (line if line.startswith(f"{kind}: ") else f"  {line}" for line in rest)
    _print("\n".join([f"{label} {first}", *lines]), sys.stderr)


def _print(text: str, stream: TextIO) -> None:
    """Write a line and flush the stream.

    Raises:
        SecurepipError: Standard output cannot be written, so part of the output is lost.
        BrokenPipeError: The reader of standard output has gone away.
    """
    try:
        # In one call, so that lines of several threads do not mix.
        stream.write(f"{text}\n")
        stream.flush()
    except BrokenPipeError:
        if stream is not sys.stderr:
            raise
        # Nobody reads standard error any more. Ignored: other threads may wait for the one here.
    except OSError as error:
        # Without this, Python would try to flush the buffer again at exit, and report the failure.
        with suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
        if stream is not sys.stderr:  # a failure of standard error could not be shown anyway
            raise SecurepipError(
                f"standard output cannot be written: {error.strerror}",
                meaning="The work is done, but part of the output is lost.",
                remedy="Check where the output goes.",
            ) from None
