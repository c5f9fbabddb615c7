"""Finds the environments on this machine that a person's ``pip`` may install into."""

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
    """The environments with a pip that are named, active, or on the PATH; each of them once.

    An environment whose interpreter does not start, or reads no start-up files, is left out unless
    it is named.

    Args:
        named: Interpreters, or folders of virtual environments.
        variables: The environment variables.

    Raises:
        UsageError: One of ``named`` cannot be used.
    """
    environments = {environment.folder: environment for environment in map(find_environment, named)}
    for python in _unnamed(variables):
        try:
            environment = find_environment(str(python))
        except SecurepipError:
            continue
        environments.setdefault(environment.folder, environment)
    return [environment for environment in environments.values() if environment.pip is not None]


def _unnamed(variables: Mapping[str, str]) -> Iterator[Path]:
    """The interpreters of the active environment and of the PATH, each under its first name."""
    folders = [Path(folder) for folder in variables.get("PATH", os.defpath).split(os.pathsep)]
    active = variables.get("VIRTUAL_ENV")
    if active:
        folders.insert(0, Path(active, "Scripts" if os.name == "nt" else "bin"))
    seen = set()
    for folder in folders:
        if not folder.is_absolute():
            continue
        for path in sorted(folder.glob("python*")):
            # The interpreter of a virtual environment is a link to another one, so its folder
            # identifies it.
            is_virtual = (folder.parent / "pyvenv.cfg").is_file()
            identity = (path.resolve(), folder.parent.resolve() if is_virtual else None)
            if _PYTHON.fullmatch(path.name) and os.access(path, os.X_OK) and identity not in seen:
                seen.add(identity)
                yield path
