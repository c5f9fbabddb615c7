"""Which interpreter is meant.

Rule: this is asked before anything else is imported, so it imports next to nothing itself.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from securepip.errors import UsageError

_MARKS_OF_TOOLS = ("pipx_metadata.json", "uv-receipt.toml")
"""What pipx and uv leave in the environments that they make for one tool alone."""


def meant_interpreter(python: str | None) -> str | None:
    """The interpreter that is installed for; None for the one that runs this.

    Where pipx or uv made that for securepip alone, nobody means it: then it is the active one.

    Args:
        python: As ``find_interpreter``; None where nobody names one.

    Raises:
        UsageError: There is none, or none is active.
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
        python: An interpreter, or the folder of a virtual environment, as ``pip --python`` has it.

    Raises:
        UsageError: There is none.
    """
    path = Path(python)
    candidates = [path]
    if path.is_dir():
        candidates = [path / "bin" / "python", path / "Scripts" / "python.exe"]
    for candidate in candidates:
        if candidate.exists():
            # Builds run in other folders. Not resolved: a link may be all that an environment has.
            return str(candidate.absolute())
    raise UsageError(
        f"Could not locate Python interpreter {python}",
        remedy="--python takes an interpreter, or the folder of a virtual environment.",
    )
