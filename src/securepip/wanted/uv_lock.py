"""``uv.lock``.

Source: uv's documentation, "Structure and files", and the files that uv writes: ``[[package]]`` has
a ``source`` with one key, which is ``registry`` for a package that comes from an index.
"""

from __future__ import annotations

from collections.abc import Iterator

from securepip.resolver import UserRequirement
from securepip.wanted.tables import Table

_VERSION = 1
_OF_THE_PROJECT = {"editable", "virtual"}
"""Sources of the project itself and of the members of its workspace."""


def is_it(tables: Table) -> bool:
    """Whether these are the tables of such a file."""
    return isinstance(tables.values.get("version"), int) and "package" in tables.values


def read(tables: Table) -> Iterator[UserRequirement]:
    """The locked packages, without the project itself and the members of its workspace.

    Raises:
        RequirementError: The file does not have the documented form.
    """
    if tables.values.get("version") != _VERSION:
        raise tables.wrong(f"version is not {_VERSION}, the only one that is known here")
    for package in tables.packages("package"):
        source = package.table("source")
        if not _OF_THE_PROJECT & source.values.keys():
            yield package.locked(_url(source))


def _url(source: Table) -> str:
    """The address of a package that does not come from an index; "" for one that does.

    Raises:
        RequirementError: The source does not have the documented form.
    """
    if source.text("git"):
        return f"git+{source.text('git')}"
    folder = source.text("path") or source.text("directory")
    if folder or source.text("url"):
        return f"file:{folder}" if folder else source.text("url")
    if not source.text("registry"):
        raise source.wrong("it has none of the known keys")
    return ""
