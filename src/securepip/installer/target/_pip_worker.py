"""Loads pip, waits to be told what it is to do, and then runs it.

Rule: the target interpreter runs this file: standard library alone. Loading is only a matter of
time: it is pip's own runner that runs pip afterwards, with what is loaded by then.

Its argument is the path of that runner. The one line that it reads is a JSON list, pip's
arguments; when there is none, there is nothing to do.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
import runpy
import sys
from importlib.machinery import PathFinder
from pathlib import Path


def load(folder: str) -> None:
    """Import what ``pip install`` needs, of the pip in ``folder``."""
    # The target's start-up (sitecustomize, a path file) may have imported the target's own pip.
    _forget_pip()
    spec = PathFinder.find_spec("pip", [folder])
    if spec is None or spec.loader is None:
        return
    module = importlib.util.module_from_spec(spec)
    sys.modules["pip"] = module
    try:
        spec.loader.exec_module(module)
        for name in ("pip._internal.cli.main", "pip._internal.commands.install"):
            importlib.import_module(name)
    except Exception:
        # Too old an interpreter, another layout of pip: let the runner say what it has to say.
        _forget_pip()


def _forget_pip() -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "pip"]:
        del sys.modules[name]


def main() -> None:
    """Load, wait, run."""
    # The folder of this file holds modules of ours, which are not for the target.
    del sys.path[0]
    runner = sys.argv[1]
    load(str(Path(runner).parent.parent))
    line = sys.stdin.readline()
    if not line:
        return
    with Path(os.devnull).open("rb") as nothing:
        os.dup2(nothing.fileno(), sys.stdin.fileno())
    sys.argv = [runner, *json.loads(line)]
    runpy.run_path(runner, run_name="__main__")


if __name__ == "__main__":
    main()
