"""Which kind of file a name leads to, and what that names.

Rule: the name says the kind where it is one of those that tools use; the content says it where the
name does not. What is neither a lock, a project nor a script is a requirements file.
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
    """A kind of file with tables.

    Attributes:
        name: What tools call such a file.
        is_it: Whether the content is that of one.
        read: What it names.
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
    """The requirements files among ``names``, and what the other files name.

    Args:
        names: Paths, as ``-r`` has them; an address or a pipe is left to who reads requirements
            files.

    Raises:
        RequirementError: A file cannot be read, or is not valid.
    """
    plain, wanted = [], []
    for name in names:
        # A pipe can be read once only: it is left to who reads requirements files, too.
        is_once = os.path.exists(name) and not os.path.isfile(name)  # noqa: PTH110, PTH113 - any text
        found = None if _URL.match(name) or is_once else _read(name)
        if found is None:
            plain.append(name)
        else:
            wanted += found
    return plain, wanted


def _read(path: str) -> list[UserRequirement] | None:
    """What a file names; None of a requirements file."""
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
