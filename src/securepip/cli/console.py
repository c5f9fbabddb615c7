"""What people read: plain lines on standard output, warnings and errors on standard error.

The forms are pip's (``WARNING: …``, ``ERROR: …``), because people and scripts know them. Colour
and progress only on a terminal, and not with ``NO_COLOR``, ``--quiet`` or ``--no-color``.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from securepip.errors import SecurepipError

if TYPE_CHECKING:
    from rich.progress import Progress

_verbosity = 0
_colour = True


def configure(*, verbosity: int, colour: bool) -> None:
    """Set how much is printed (0 is normal, below is quieter) and whether colour may be used."""
    global _verbosity, _colour
    _verbosity = verbosity
    _colour = colour and not os.environ.get("NO_COLOR")


def say(text: str, *, level: int = 0) -> None:
    """Print a line, unless it is quieter than ``level`` here (1 is shown with ``--verbose``)."""
    if _verbosity >= level:
        print(text, flush=True)


def warn(text: str) -> None:
    """Print a warning on standard error; hidden by the second ``--quiet``."""
    if _verbosity > -2:
        _print_error("WARNING", text, "33")


def show_error(error: SecurepipError) -> None:
    """Print an error with what it means and what to do; hidden by nothing."""
    _print_error("ERROR", str(error), "31")


@contextmanager
def progress() -> Iterator[Progress]:
    """A progress display on standard error: a real one on a terminal, else one that is silent."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    shown = sys.stderr.isatty() and _verbosity >= 0
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed:.0f}/{task.total:.0f}"),
        TimeRemainingColumn(),
        console=Console(stderr=True, no_color=not _colour),
        transient=True,
        disable=not shown,
    ) as display:
        yield display


def _print_error(kind: str, text: str, colour: str) -> None:
    first, *rest = text.splitlines() or [""]
    label = f"{kind}:"
    if _colour and sys.stderr.isatty():
        label = f"\033[{colour}m{label}\033[0m"
    print("\n".join([f"{label} {first}", *(f"  {line}" for line in rest)]), file=sys.stderr)
