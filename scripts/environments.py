"""Makes an environment for a script that is run first, with whatever Python there is.

Rule: the standard library alone, and nothing that a Python older than securepip's cannot read.
"""

from __future__ import annotations

import importlib.util
import os
import sys
import venv
from pathlib import Path

_OLDEST = (3, 10)


def make_environment(folder: Path, *, with_pip: bool = True) -> None:
    """Make an environment, if there is none in ``folder``. A Python that cannot ends the script."""
    if sys.version_info < _OLDEST:
        sys.exit("This needs Python 3.10 or newer, and was run with " + sys.version.split()[0])
    if with_pip and importlib.util.find_spec("ensurepip") is None:
        sys.exit(
            "This Python cannot make environments. On Debian and Ubuntu: apt install python3-venv"
        )
    if not (folder / "pyvenv.cfg").exists():
        venv.create(folder, with_pip=with_pip, symlinks=os.name != "nt")
