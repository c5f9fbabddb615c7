"""Divides wheels among processes of pip, so that no two processes write the same file.

Rule: wheels that may write the same file stay together, in the order of the plan. So the files on
the disk do not depend on which process is faster.
"""

from __future__ import annotations

import os
import posixpath
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from unicodedata import normalize

from packaging.utils import NormalizedName

from securepip.formats.wheel import place_of
from securepip.installer.target.compile import Scheme
from securepip.installer.wheels import CheckedWheel

_FILE_BYTES = 30_000
"""The cost of a file besides its length: making it takes as long as unpacking so many bytes."""
_WORTH_BYTES = 10_000_000
"""The least work for another process. One process installs so much in about 0.1 seconds."""


@dataclass(frozen=True)
class Files:
    """The files that wheels write, compared with each other.

    Attributes:
        wheels: All wheels, in the order in which they are installed.
        groups: The wheels, grouped so that no two groups write the same file.
        unmixed: The wheels of which no other wheel writes a file, and which write each file once.
    """

    wheels: tuple[CheckedWheel, ...]
    groups: tuple[tuple[CheckedWheel, ...], ...]
    unmixed: frozenset[CheckedWheel]


def compare(wheels: Sequence[CheckedWheel], scheme: Scheme) -> Files:
    """Find the files that are written more than once.

    Args:
        wheels: All that is installed, in that order.
        scheme: Where pip installs.
    """
    roots = {key: os.path.realpath(path) for key, path in scheme.items()}
    leaders = list(range(len(wheels)))
    owners: dict[str, int] = {}
    mixed: set[int] = set()

    def leader(at: int) -> int:
        while leaders[at] != at:
            at = leaders[at]
        return at

    for at, wheel in enumerate(wheels):
        for path in _paths(wheel, roots):
            if path in owners:
                mixed |= {at, owners[path]}
                leaders[leader(at)] = leader(owners[path])
            owners[path] = at
    groups: dict[int, list[CheckedWheel]] = {}
    for at, wheel in enumerate(wheels):
        groups.setdefault(leader(at), []).append(wheel)
    return Files(
        tuple(wheels),
        tuple(map(tuple, groups.values())),
        frozenset(wheel for at, wheel in enumerate(wheels) if at not in mixed),
    )


def divide(files: Files, processes: int) -> list[list[NormalizedName]]:
    """Divide the wheels into shares.

    Args:
        files: The files that the wheels write.
        processes: The most shares.

    Returns:
        The projects of each share, in the order to install them. It is one share if more would
        not be faster.
    """
    costs = [sum(map(_cost, group)) for group in files.groups]
    number = min(processes, len(costs), 1 + sum(costs) // _WORTH_BYTES)
    shares: list[list[CheckedWheel]] = [[] for _ in range(number)]
    filled = [0] * number
    # The largest group first, each to the share that has the least.
    for cost, group in sorted(zip(costs, files.groups, strict=True), key=lambda one: -one[0]):
        least = filled.index(min(filled))
        filled[least] += cost
        shares[least] += group
    place = {wheel: at for at, wheel in enumerate(files.wheels)}
    return [[wheel.project for wheel in sorted(share, key=place.__getitem__)] for share in shares]


def _cost(wheel: CheckedWheel) -> int:
    return wheel.unpacked + _FILE_BYTES * len(wheel.members)


def _paths(wheel: CheckedWheel, roots: Scheme) -> Iterator[str]:
    """The paths that pip writes for a wheel, equal for all that may be the same file.

    ``purelib`` and ``platlib`` count as one folder. Upper and lower case, and the two ways to write
    an accent, count as equal, because some file systems do not tell them apart.
    """
    libraries = (roots["purelib"], roots["platlib"])
    for member in dict.fromkeys(wheel.members):
        key, name = place_of(member)
        if key == "headers":
            yield f"headers:{wheel.project}/{name}"
            continue
        if key:
            folder, name = posixpath.split(posixpath.normpath(f"{roots.get(key, key)}/{name}"))
            # A folder may be a link: in many environments `lib64` leads to `lib`.
            path = f"{os.path.realpath(folder)}/{name}" if key in roots else f"{folder}/{name}"
        else:
            path = posixpath.normpath(f"{libraries[0]}/{name}")
        for library in libraries:
            path = path.replace(f"{library}/", "", 1)
        yield _folded(path)
    for script in wheel.scripts:
        yield _folded(posixpath.normpath(f"{roots['scripts']}/{script}"))


def _folded(path: str) -> str:
    return (path if path.isascii() else normalize("NFC", path)).casefold()
