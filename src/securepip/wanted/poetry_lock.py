"""``poetry.lock``.

Source: Poetry's ``Locker``, which writes it: ``[[package]]`` has a ``source`` table only where the
package does not come from the default index; that of another index has the type ``legacy``.
"""

from __future__ import annotations

from collections.abc import Iterator

from securepip.resolver import UserRequirement
from securepip.wanted.tables import Table

_KNOWN = ("1", "2")


def is_it(tables: Table) -> bool:
    """Whether these are the tables of such a file."""
    metadata = tables.values.get("metadata")
    return isinstance(metadata, dict) and "lock-version" in metadata


def read(tables: Table) -> Iterator[UserRequirement]:
    """The locked packages.

    Raises:
        RequirementError: The file does not have the documented form.
    """
    version = tables.table("metadata").text("lock-version")
    if version.partition(".")[0] not in _KNOWN:
        raise tables.wrong(f"lock-version {version!r:.20} is none that is known here: 1 and 2 are")
    for package in tables.packages("package"):
        yield package.locked(_url(package.table("source")))


def _url(source: Table) -> str:
    """The address of a package that does not come from an index; "" for one that does."""
    kind, url = source.text("type"), source.text("url")
    if kind in ("", "legacy"):
        return ""
    if kind in ("directory", "file"):
        return f"file:{url}"
    return url if kind == "url" else f"{kind}+{url}"
