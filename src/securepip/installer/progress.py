"""What pip has installed by now: watched while it runs, compiled meanwhile, completed afterwards.

Rule: what is in the environment is judged by what is on the disk there, not by what pip says.
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
        name: As its metadata writes it.
        version: As its metadata writes it.
        dist_info: Its folder in the environment.
    """

    name: str
    version: str
    dist_info: Path


@dataclass(frozen=True)
class _Place:
    """Where a wheel may be installed: the scheme, and its library folder."""

    scheme: Scheme
    library: str

    def dist_info(self, wheel: CheckedWheel) -> Path:
        return Path(self.library, wheel.dist_info)


class Progress:
    """Watches which wheels pip has installed, and completes them meanwhile.

    pip writes INSTALLER once all files of a wheel are there. One that is not the one from before
    is the sign. It writes RECORD after that, and then begins with the next wheel.

    Args:
        wheels: All that is to be installed, in that order.
        schemes: Where pip may install.
        compiler: Compiles; None where nothing is to be compiled.
        unmixed: Those whose files are what they hold, once they are installed.
        shares: The projects that one process installs one after another, in that order.
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
        # Paths as text: they are looked at some ten thousand times.
        self._waiting = {
            path: (wheel, place, _state(path))
            for wheel in wheels
            for place in places
            for path in (str(place.dist_info(wheel) / "INSTALLER"),)
        }

    def look(self) -> None:
        """Find what has been installed since the last look, and complete what is compiled."""
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
        """Compile the rest, and record the byte code and where a distribution comes from."""
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
        """Compare with the plan.

        Raises:
            InstallationError: Something planned is not there.
        """
        missing = [f"{w.name}-{w.version}" for w in self._wheels if w not in self._found]
        if missing:
            raise InstallationError(
                f"pip ended without an error, but did not install {' '.join(missing)}.",
                meaning="It saw another environment than the one that the plan was made for.",
            )

    def installed(self) -> tuple[InstalledFile, ...]:
        """What is there now."""
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
        status = os.stat(path)  # noqa: PTH116 - see above
    except OSError:
        return None
    return status.st_mtime_ns, status.st_ino
