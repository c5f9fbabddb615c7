"""``pdm.lock``.

Source: pdm's ``PDMLock`` format, which it writes: ``[[package]]`` names a ``git``, ``url`` or
``path`` where the package does not come from an index. (What pdm writes as ``pylock.toml`` is read
as that.)
"""

from __future__ import annotations

from collections.abc import Iterator

from securepip.resolver import UserRequirement
from securepip.wanted.tables import Table


def is_it(tables: Table) -> bool:
    """Whether the content is that of such a file."""
    metadata = tables.values.get("metadata")
    return isinstance(metadata, dict) and "lock_version" in metadata


def read(tables: Table) -> Iterator[UserRequirement]:
    """The packages that it locks.

    Raises:
        RequirementError: It is not of the documented form.
    """
    version = tables.table("metadata").text("lock_version")
    if version.partition(".")[0] != "4":
        raise tables.wrong(f"lock_version {version!r:.20} is none that is known here: 4 is")
    seen = set()
    for package in tables.packages("package"):
        # An extra that is locked has an entry of its own, with the same name and version.
        entry = package.locked(_url(package))
        if entry.text not in seen:
            seen.add(entry.text)
            yield entry


def _url(package: Table) -> str:
    """Where it comes from, if that is no index."""
    for system in ("git", "hg", "svn", "bzr"):
        if package.text(system):
            return f"{system}+{package.text(system)}"
    folder = package.text("path")
    return f"file:{folder}" if folder else package.text("url")
