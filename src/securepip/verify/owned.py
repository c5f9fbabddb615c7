"""Decides which files belong to a distribution; all others are reported as added.

Rule: a RECORD is only a claim. Where a distribution was compared with a wheel, each row of its
RECORD was judged. Any other RECORD may name a file in order to hide it, so its distribution owns
nothing in the folders of a compared distribution, nothing that Python would import in place of one
of that one's modules, and nothing that runs when Python starts.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from securepip.verify.compare import Installed
from securepip.verify.wheel import Contents

_START_UP_SUFFIXES = (".pth", ".start")
_START_UP_MODULES = frozenset({"sitecustomize", "usercustomize"})


@dataclass(frozen=True)
class Owner:
    """An installed distribution.

    Attributes:
        installed: Its folder, and the rows of its RECORD.
        compared: The wheel that it was compared with; None for none.
        was_looked_at: Whether this run checks it. The RECORD of one that it does not check is
            believed.
    """

    installed: Installed
    compared: Contents | None = None
    was_looked_at: bool = True


def owned_paths(owners: Sequence[Owner]) -> frozenset[str]:
    """All paths that belong to a distribution, and the top-level folders that they are in."""
    paths = {str(owner.installed.dist_info) for owner in owners}
    proved = _Proved()
    for owner in owners:
        if owner.compared is not None or not owner.was_looked_at:
            paths |= set(_rows(owner.installed))
        if owner.compared is not None:
            paths |= proved.add(str(owner.installed.area.library), owner.compared)
    for owner in owners:
        if owner.compared is None and owner.was_looked_at:
            own = f"{owner.installed.dist_info}{os.sep}"
            library = str(owner.installed.area.library)
            paths |= {
                path
                for path in _rows(owner.installed)
                if path.startswith(own) or not proved.forbids(library, path)
            }
    tops = set()
    for library in {str(owner.installed.area.library) for owner in owners}:
        start = f"{library}{os.sep}"
        tops |= {
            f"{start}{path.removeprefix(start).partition(os.sep)[0]}"
            for path in paths
            if path.startswith(start)
        }
    return frozenset(paths | tops)


class _Proved:
    """The folders and modules of the distributions that were compared with a wheel."""

    def __init__(self) -> None:
        self._folders: set[str] = set()
        self._above: set[str] = set()
        self._modules: set[str] = set()
        self._packages: set[str] = set()

    def add(self, library: str, compared: Contents) -> set[str]:
        """Add the files of a wheel, and return their paths."""
        paths = {os.path.normpath(f"{library}{os.sep}{name}") for name in compared.members}
        for path in paths:
            folders = list(_folders_above(path, library))
            self._folders |= set(folders[:1])
            self._above |= set(folders)
            names = self._packages if folders else self._modules
            names.add(_module(library, path))
        return paths

    def forbids(self, library: str, path: str) -> bool:
        """Whether a distribution that was not compared with a wheel may not own a path."""
        folders = list(_folders_above(path, library))
        if runs_at_start(os.path.relpath(path, library)):
            return True
        if _module(library, path) in (self._modules if folders else self._modules | self._packages):
            return True
        return folders[:1] != [] and (
            folders[0] in self._above or not self._folders.isdisjoint(folders)
        )


def start_up_rows(installed: Installed) -> Iterator[str]:
    """The paths in RECORD of files that run when Python starts."""
    library = str(installed.area.library)
    return (path for path in _rows(installed) if runs_at_start(os.path.relpath(path, library)))


def runs_at_start(name: str) -> bool:
    """Whether Python runs a file when it starts, by its path relative to the library folder."""
    top, _, rest = name.partition(os.sep)
    return (not rest and name.endswith(_START_UP_SUFFIXES)) or (
        top.partition(".")[0] in _START_UP_MODULES and not top.endswith(".dist-info")
    )


def _rows(installed: Installed) -> Iterator[str]:
    library = str(installed.area.library)
    return (os.path.normpath(f"{library}{os.sep}{name}") for name in installed.rows or ())


def _folders_above(path: str, library: str) -> Iterator[str]:
    """The folders between the library folder and a path, the innermost first."""
    while (path := path.rpartition(os.sep)[0]).startswith(f"{library}{os.sep}"):
        yield path


def _module(library: str, path: str) -> str:
    """The top-level module that a path belongs to: ``…/six`` for ``…/six.cpython-311.so``."""
    top = path.removeprefix(f"{library}{os.sep}").partition(os.sep)[0]
    return f"{library}{os.sep}{top.partition('.')[0]}"
