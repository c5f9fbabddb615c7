"""``pylock.toml``: PEP 751, as ``packaging.pylock`` reads it.

The packages for all platforms are read, because a repository is signed for all its users.
"""

from __future__ import annotations

from collections.abc import Iterator

from packaging.pylock import Package, Pylock

from securepip.errors import RequirementError
from securepip.resolver import UserRequirement
from securepip.wanted.tables import Table


def is_it(tables: Table) -> bool:
    """Whether these are the tables of such a file."""
    return {"lock-version", "packages"} <= tables.values.keys()


def read(tables: Table) -> Iterator[UserRequirement]:
    """The locked packages.

    Raises:
        RequirementError: The file is not valid.
    """
    # The parser may raise anything on malformed input: then the lock is not valid.
    try:
        lock = Pylock.from_dict(tables.values)
    except Exception as error:
        reason = f"{str(error) or type(error).__name__:.300}"
        raise RequirementError(f"Invalid pylock file {tables.where!r}: {reason}") from None
    for package in lock.packages:
        version = "" if package.version is None else str(package.version)
        values = {"name": str(package.name), "version": version}
        yield Table(f"{tables.where}, packages {package.name!r}", values).locked(_url(package))


def _url(package: Package) -> str:
    """The address of a package that does not come from an index; "" for one that does."""
    if package.vcs is not None:
        return f"{package.vcs.type}+{package.vcs.url or package.vcs.path}@{package.vcs.commit_id}"
    if package.archive is not None:
        return package.archive.url or f"file:{package.archive.path}"
    return f"file:{package.directory.path}" if package.directory is not None else ""
