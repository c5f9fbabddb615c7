"""Finds the interpreter to install for.

Rule: this runs before anything else is imported, so it imports next to nothing.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from securepip.errors import UsageError

_MARKS_OF_TOOLS = ("pipx_metadata.json", "uv-receipt.toml")
"""Files that pipx and uv leave in the environments that they make for a single tool."""


def meant_interpreter(python: str | None) -> str | None:
    """The interpreter to install for; None for the one that runs this.

    If pipx or uv made this environment for securepip alone, the active environment is meant
    instead.

    Args:
        python: What ``--python`` names; None without it.

    Raises:
        UsageError: There is no such interpreter, or no environment is active.
    """
    own = Path(sys.prefix)
    if python is None and any((own / mark).exists() for mark in _MARKS_OF_TOOLS):
        python = os.environ.get("VIRTUAL_ENV")
        if not python or Path(python) == own:
            raise UsageError(
                "securepip is in an environment of its own, and no other one is active",
                remedy="Activate yours, name it (--python .venv), or set PIP_PYTHON=.venv once.",
            )
    return None if python is None else find_interpreter(python)


def find_interpreter(python: str) -> str:
    """The interpreter that ``--python`` names.

    Args:
        python: An interpreter, or the folder of a virtual environment, as for ``pip --python``.

    Raises:
        UsageError: There is no such interpreter.
    """
    path = Path(python)
    candidates = [path]
    if path.is_dir():
        candidates = [path / "bin" / "python", path / "Scripts" / "python.exe"]
    for candidate in candidates:
        if candidate.exists():
            # Absolute, because builds run in other folders. Links are not resolved: a virtual
            # environment's interpreter may be a link to another one.
            return str(candidate.absolute())
    raise UsageError(
        f"Could not locate Python interpreter {python}",
        remedy="--python takes an interpreter, or the folder of a virtual environment.",
    )
