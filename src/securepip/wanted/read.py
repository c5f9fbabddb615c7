"""Finds out of which kind a file is, and reads the requirements in it.

Rule: a file name that tools use decides the kind; for other names, the content decides. A file that
is neither a lock, a project nor a script is a requirements file.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from packaging.pylock import is_valid_pylock_path

from securepip.errors import RequirementError
from securepip.resolver import UserRequirement
from securepip.wanted import pdm_lock, poetry_lock, pylock, pyproject, script, uv_lock
from securepip.wanted.tables import Table, parse_tables, read_bytes

_URL = re.compile(r"(https?|file):", re.IGNORECASE)


@dataclass(frozen=True)
class _Kind:
    """A kind of TOML file.

    Attributes:
        name: The file name that tools use.
        is_it: Tells whether tables are those of such a file.
        read: Reads the requirements in the tables.
    """

    name: str
    is_it: Callable[[Table], bool]
    read: Callable[[Table], Iterator[UserRequirement]]


_KINDS = (
    _Kind("pylock.toml", pylock.is_it, pylock.read),
    _Kind("uv.lock", uv_lock.is_it, uv_lock.read),
    _Kind("poetry.lock", poetry_lock.is_it, poetry_lock.read),
    _Kind("pdm.lock", pdm_lock.is_it, pdm_lock.read),
    _Kind("pyproject.toml", pyproject.is_it, pyproject.read),
)


def split_files(names: Sequence[str]) -> tuple[list[str], list[UserRequirement]]:
    """Separate requirements files from other files, and read the others.

    Args:
        names: Paths, as for ``-r``. Addresses and pipes count as requirements files.

    Returns:
        The requirements files among ``names``, and the requirements in the other files.

    Raises:
        RequirementError: A file cannot be read, or is not valid.
    """
    plain, wanted = [], []
    for name in names:
        # A pipe can only be read once, so its content cannot be looked at here.
        is_once = os.path.exists(name) and not os.path.isfile(name)  # noqa: PTH110, PTH113 - any text
        requirements = None if _URL.match(name) or is_once else _read(name)
        if requirements is None:
            plain.append(name)
        else:
            wanted += requirements
    return plain, wanted


def _read(path: str) -> list[UserRequirement] | None:
    """The requirements in a file; None if it is a requirements file."""
    by_name = next((kind for kind in _KINDS if _is_called(path, kind.name)), None)
    if by_name is not None:
        tables = parse_tables(path, read_bytes(path))
        if not by_name.is_it(tables):
            raise RequirementError(f"{path}: its content is not that of a {by_name.name}.")
        return list(by_name.read(tables))
    if path.endswith(".py"):
        return list(script.read(path))
    return _read_by_content(path)


def _is_called(path: str, name: str) -> bool:
    if name == "pylock.toml":
        return is_valid_pylock_path(Path(path))
    return Path(path).name == name


def _read_by_content(path: str) -> list[UserRequirement] | None:
    data = read_bytes(path)
    if script.has_block(data.decode("utf-8", "replace").replace("\r\n", "\n")):
        return list(script.read(path))
    try:
        tables = parse_tables(path, data)
    except RequirementError:
        return None
    kind = next((kind for kind in _KINDS if kind.is_it(tables)), None)
    return None if kind is None else list(kind.read(tables))
