"""Which environments of this machine have a pip, as far as a person meets them."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from securepip.errors import SecurepipError
from securepip.plugin.environment import Environment, find_environment

_PYTHON = re.compile(r"python(3(\.\d+)?)?(\.exe)?")


def environments_here(
    named: Sequence[str] = (), variables: Mapping[str, str] = os.environ
) -> list[Environment]:
    """Those that a person's ``pip`` may install into, each once; only those that have a pip.

    They are: what is named, the active virtual environment, and the interpreters of the PATH. One
    that does not start, or reads no start-up files, is left out, unless it is named.

    Raises:
        UsageError: What is named is no interpreter.
    """
    found = {environment.folder: environment for environment in map(find_environment, named)}
    for python in _unnamed(variables):
        try:
            environment = find_environment(str(python))
        except SecurepipError:
            continue
        found.setdefault(environment.folder, environment)
    return [environment for environment in found.values() if environment.pip is not None]


def _unnamed(variables: Mapping[str, str]) -> Iterator[Path]:
    """Interpreters; of several names of one, the first."""
    folders = [Path(folder) for folder in variables.get("PATH", os.defpath).split(os.pathsep)]
    active = variables.get("VIRTUAL_ENV")
    if active:
        folders.insert(0, Path(active, "Scripts" if os.name == "nt" else "bin"))
    seen = set()
    for folder in folders:
        if not folder.is_absolute():
            continue
        for path in sorted(folder.glob("python*")):
            # A virtual environment's is a link to another's, and is told apart by where it is.
            is_virtual = (folder.parent / "pyvenv.cfg").is_file()
            identity = (path.resolve(), folder.parent.resolve() if is_virtual else None)
            if _PYTHON.fullmatch(path.name) and os.access(path, os.X_OK) and identity not in seen:
                seen.add(identity)
                yield path
