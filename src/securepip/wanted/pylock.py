"""``pylock.toml``: PEP 751, as ``packaging.pylock`` reads it.

Every package counts, for whatever platform it is: who signs a repository signs for all its users.
"""

from __future__ import annotations

from collections.abc import Iterator

from packaging.pylock import Package, Pylock

from securepip.errors import RequirementError
from securepip.resolver import UserRequirement
from securepip.wanted.tables import Table


def is_it(tables: Table) -> bool:
    """Whether the content is that of such a file."""
    return {"lock-version", "packages"} <= tables.values.keys()


def read(tables: Table) -> Iterator[UserRequirement]:
    """The packages that it locks.

    Raises:
        RequirementError: It is not valid.
    """
    # The parser meets what strangers wrote: whatever it raises, the lock is what is wrong.
    try:
        lock = Pylock.from_dict(tables.values)
    except Exception as error:
        said = f"{str(error) or type(error).__name__:.300}"
        raise RequirementError(f"Invalid pylock file {tables.where!r}: {said}") from None
    for package in lock.packages:
        version = "" if package.version is None else str(package.version)
        values = {"name": str(package.name), "version": version}
        yield Table(f"{tables.where}, packages {package.name!r}", values).locked(_url(package))


def _url(package: Package) -> str:
    """Where it comes from, if that is no index."""
    if package.vcs is not None:
        return f"{package.vcs.type}+{package.vcs.url or package.vcs.path}@{package.vcs.commit_id}"
    if package.archive is not None:
        return package.archive.url or f"file:{package.archive.path}"
    return f"file:{package.directory.path}" if package.directory is not None else ""
