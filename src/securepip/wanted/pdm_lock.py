"""``pdm.lock``.

Source: pdm's ``PDMLock`` format, which it writes: ``[[package]]`` names a ``git``, ``url`` or
``path`` where the package does not come from an index. (A ``pylock.toml`` that pdm writes is read
by ``pylock``.)
"""

from __future__ import annotations

from collections.abc import Iterator

from securepip.resolver import UserRequirement
from securepip.wanted.tables import Table


def is_it(tables: Table) -> bool:
    """Whether these are the tables of such a file."""
    metadata = tables.values.get("metadata")
    return isinstance(metadata, dict) and "lock_version" in metadata


def read(tables: Table) -> Iterator[UserRequirement]:
    """The locked packages.

    Raises:
        RequirementError: The file does not have the documented form.
    """
    version = tables.table("metadata").text("lock_version")
    if version.partition(".")[0] != "4":
        raise tables.wrong(f"lock_version {version!r:.20} is none that is known here: 4 is")
    seen = set()
    for package in tables.packages("package"):
        # Each locked extra has its own entry, with the same name and version.
        entry = package.locked(_url(package))
        if entry.text not in seen:
            seen.add(entry.text)
            yield entry


def _url(package: Table) -> str:
    """The address of a package that does not come from an index; "" for one that does."""
    for system in ("git", "hg", "svn", "bzr"):
        if package.text(system):
            return f"{system}+{package.text(system)}"
    folder = package.text("path")
    return f"file:{folder}" if folder else package.text("url")
