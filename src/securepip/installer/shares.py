"""Which wheels may be installed at a time: those that write no file in common.

Rule: what is not plainly apart stays together, in the order of the plan, so that what is on the
disk afterwards does not depend on which process was faster.
"""

from __future__ import annotations

import os
import posixpath
from collections.abc import Iterator, Sequence

from packaging.utils import NormalizedName

from securepip.installer.target.compile import Scheme
from securepip.installer.wheels import CheckedWheel

_FILE_BYTES = 30_000
"""What a file costs beside its length: making it takes as long as unpacking so many bytes."""
_WORTH_BYTES = 10_000_000
"""What one process installs in some 0.1 seconds: less is not worth another one."""


def divide(
    wheels: Sequence[CheckedWheel], schemes: Sequence[Scheme], processes: int
) -> list[list[NormalizedName]]:
    """The projects of each share, of about the same cost; one share where more would not help.

    Args:
        wheels: All that is to be installed, in that order.
        schemes: Where pip may install.
        processes: The most shares that are of use.
    """
    groups = _groups(wheels, schemes[0])
    costs = [sum(map(_cost, group)) for group in groups]
    number = min(processes, len(groups), 1 + sum(costs) // _WORTH_BYTES)
    shares: list[list[NormalizedName]] = [[] for _ in range(number)]
    filled = [0] * number
    # The largest first, each to whom has least.
    for cost, group in sorted(zip(costs, groups, strict=True), key=lambda one: -one[0]):
        least = filled.index(min(filled))
        filled[least] += cost
        shares[least] += [wheel.project for wheel in group]
    return shares


def _cost(wheel: CheckedWheel) -> int:
    return wheel.unpacked + _FILE_BYTES * len(wheel.members)


def _groups(wheels: Sequence[CheckedWheel], scheme: Scheme) -> list[list[CheckedWheel]]:
    """Wheels that are connected by a file that two of them write."""
    roots = {key: os.path.realpath(path) for key, path in scheme.items()}
    group_of: list[int] = list(range(len(wheels)))
    owners: dict[str, int] = {}

    def group(at: int) -> int:
        while group_of[at] != at:
            at = group_of[at]
        return at

    for at, wheel in enumerate(wheels):
        for path in _paths(wheel, roots):
            owner = owners.setdefault(path, at)
            if owner != at:
                group_of[group(at)] = group(owner)
    groups: dict[int, list[CheckedWheel]] = {}
    for at, wheel in enumerate(wheels):
        groups.setdefault(group(at), []).append(wheel)
    return list(groups.values())


def _paths(wheel: CheckedWheel, roots: Scheme) -> Iterator[str]:
    """What pip writes of a wheel, as text that is the same where the file may be the same.

    A library is one folder here, though ``purelib`` and ``platlib`` may be two, and upper case is
    lower case.
    """
    libraries = (roots["purelib"], roots["platlib"])
    for member in wheel.members:
        folder, _, rest = member.partition("/")
        if folder.endswith(".data"):
            key, _, name = rest.partition("/")
            if key == "headers":
                yield f"headers:{wheel.project}/{name}"
                continue
            path = posixpath.normpath(f"{roots.get(key, key)}/{name}")
        else:
            path = posixpath.normpath(f"{libraries[0]}/{member}")
        for library in libraries:
            path = path.replace(f"{library}/", "", 1)
        yield path.casefold()
    for script in wheel.scripts:
        yield posixpath.normpath(f"{roots['scripts']}/{script}").casefold()
