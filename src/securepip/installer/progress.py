"""Watches what pip installs while it runs, and completes it: byte code, RECORD, REQUESTED.

Rule: what is installed is determined by the files on the disk, not by pip's output.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path

from securepip.errors import InstallationError
from securepip.installer.record import amend_record
from securepip.installer.target.compile import Compiler, Installed, Scheme, installed_paths
from securepip.installer.wheels import CheckedWheel


@dataclass(frozen=True)
class InstalledFile:
    """One distribution that pip has installed.

    Attributes:
        name: The name in its metadata.
        version: The version in its metadata.
        dist_info: Its ``.dist-info`` folder in the environment.
    """

    name: str
    version: str
    dist_info: Path


@dataclass(frozen=True)
class _Place:
    """Where a wheel may be installed: a scheme, and one of its library folders."""

    scheme: Scheme
    library: str

    def dist_info(self, wheel: CheckedWheel) -> Path:
        return Path(self.library, wheel.dist_info)


class Progress:
    """Watches which wheels pip has installed, and completes them while pip goes on.

    pip writes a wheel's INSTALLER after all of its other files, so a new INSTALLER means that they
    are installed. Then pip writes RECORD, and begins with the next wheel.

    Args:
        wheels: All that is installed, in that order.
        schemes: Where pip may install.
        compiler: Compiles; None to compile nothing.
        unmixed: The wheels of which no other wheel writes a file (``shares.Files``).
        shares: For each process of pip, the projects that it installs, in that order.
    """

    def __init__(
        self,
        wheels: Sequence[CheckedWheel],
        schemes: Sequence[Scheme],
        compiler: Compiler | None,
        unmixed: Collection[CheckedWheel] = (),
        shares: Iterable[Sequence[str]] = (),
    ) -> None:
        self._wheels = wheels
        self._compiler = compiler
        by_project: dict[str, CheckedWheel] = {wheel.project: wheel for wheel in wheels}
        self._unmixed = unmixed
        self._next = {
            by_project[one]: by_project[after] for share in shares for one, after in pairwise(share)
        }
        self._amended: set[CheckedWheel] = set()
        self._found: dict[CheckedWheel, _Place] = {}
        libraries = {scheme[key]: scheme for scheme in schemes for key in ("purelib", "platlib")}
        places = [_Place(scheme, library) for library, scheme in libraries.items()]
        # Paths are strings: they are looked at some ten thousand times.
        self._waiting = {
            path: (wheel, place, _state(path))
            for wheel in wheels
            for place in places
            for path in (str(place.dist_info(wheel) / "INSTALLER"),)
        }

    def look(self) -> None:
        """Find wheels that were installed since the last call, and complete those it can."""
        found = [
            path
            for path, (_, _, before) in self._waiting.items()
            if (state := _state(path)) and state != before
        ]
        for path in found:
            wheel, place, _ = self._waiting.pop(path)
            self._found[wheel] = place
            if self._compiler:
                unmixed = wheel in self._unmixed
                self._compiler.submit(wheel.sources, self._paths(wheel), unmixed=unmixed)
        if self._compiler is None:
            return
        if found:
            for wheel in self._found:
                is_whole = wheel in self._unmixed and self._next.get(wheel) in self._found
                if is_whole and wheel not in self._amended:
                    self._amended.add(wheel)
                    amend = partial(self._amend, wheel)
                    self._compiler.after(wheel.sources, self._paths(wheel), amend)
        self._compiler.look()

    def complete(self) -> None:
        """Complete all other wheels. pip has ended.

        Raises:
            InstallationError: A file could not be compiled, or a RECORD could not be read.
        """
        self.look()
        rest = {wheel: self._paths(wheel) for wheel in self._found if wheel not in self._amended}
        every = [path for each in rest.values() for path in each.values()]
        compiled = self._compiler.finish(every) if self._compiler else {}
        for wheel, paths in rest.items():
            self._amend(wheel, [compiled[path] for path in paths.values() if path in compiled])

    def _amend(self, wheel: CheckedWheel, byte_code: Collection[str]) -> None:
        place = self._found[wheel]
        amend_record(
            place.dist_info(wheel),
            place.library,
            byte_code=frozenset(byte_code),
            direct_url=wheel.direct_url,
            requested=wheel.requested,
            unheld=wheel.unheld,
        )

    def check(self) -> None:
        """Check that everything was installed.

        Raises:
            InstallationError: Something was not.
        """
        missing = [f"{w.name}-{w.version}" for w in self._wheels if w not in self._found]
        if missing:
            raise InstallationError(
                f"pip ended without an error, but did not install {' '.join(missing)}.",
                meaning="It saw another environment than the one that the plan was made for.",
            )

    def installed(self) -> tuple[InstalledFile, ...]:
        """What was installed, in the order of the plan."""
        return tuple(
            InstalledFile(wheel.name, wheel.version, self._found[wheel].dist_info(wheel))
            for wheel in self._wheels
            if wheel in self._found
        )

    def _paths(self, wheel: CheckedWheel) -> Installed:
        place = self._found[wheel]
        return installed_paths(wheel.sources.files, place.library, place.scheme)


def _state(path: str) -> tuple[int, int] | None:
    try:
        status = os.stat(path)  # noqa: PTH116 - faster than Path
    except OSError:
        return None
    return status.st_mtime_ns, status.st_ino
