"""Targets other than this machine: ``--platform``, ``--python-version`` and similar options.

Rule: the wheel tags are those that pip derives from the same options. As in pip, markers keep the
values of the interpreter, because those of the other machine are not known.

Sources: PEP 425 and its successor ("Platform compatibility tags"); PEP 571 and PEP 599 for what
an old manylinux platform admits.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import TypeVar

from packaging.tags import (
    Tag,
    android_platforms,
    compatible_tags,
    cpython_tags,
    generic_tags,
    ios_platforms,
    mac_platforms,
)
from packaging.version import Version

from securepip.resolver.environment.target import TargetEnvironment

_T = TypeVar("_T")
_APPLE = re.compile(r"(macosx|ios)_(\d+)_(\d+)_(.+)")
_ANDROID = re.compile(r"android_(\d+)_(.+)")
_OLDER_MANYLINUX = {
    "manylinux2014": ("manylinux2010", "manylinux1"),
    "manylinux2010": ("manylinux1",),
}


def overridden(
    environment: TargetEnvironment,
    *,
    platforms: Sequence[str] = (),
    python_version: tuple[int, ...] | None = None,
    implementation: str | None = None,
    abis: Sequence[str] = (),
) -> TargetEnvironment:
    """The environment with the version and tags that the options say; the rest is unchanged.

    Args:
        environment: The environment of this machine.
        platforms: Platform tags, best first.
        python_version: One to three numbers.
        implementation: The first letters of an interpreter tag, ``cp``; ``py`` for any.
        abis: ABI tags, best first.
    """
    own = environment.tags[0].interpreter
    kind = implementation or re.split(r"\d", own, maxsplit=1)[0]
    numbers = python_version[:2] if python_version else environment.version.release[:2]
    interpreter = kind + "".join(map(str, numbers))
    accepted = _unique(one for name in platforms for one in _admitted_by(name))
    if not accepted:
        accepted = _unique(tag.platform for tag in environment.tags if tag.platform != "any")
    wanted = list(abis) or None
    if wanted is None and not python_version and kind == own[: len(kind)]:
        wanted = _unique(
            tag.abi for tag in environment.tags if tag.interpreter == own and tag.abi != "none"
        )
    made: Iterator[Tag]
    if kind == "cp":
        made = cpython_tags(python_version=numbers, abis=wanted, platforms=accepted)
    else:
        made = generic_tags(interpreter=interpreter, abis=wanted, platforms=accepted)
    others = compatible_tags(python_version=numbers, interpreter=interpreter, platforms=accepted)
    version = environment.version
    if python_version:
        version = Version(".".join(map(str, (*python_version, 0, 0)[:3])))
    return replace(environment, version=version, tags=tuple(_unique([*made, *others])))


def _admitted_by(platform: str) -> Iterator[str]:
    """The platform, and the older platforms whose wheels run on it too."""
    apple, android = _APPLE.fullmatch(platform), _ANDROID.fullmatch(platform)
    prefix, _, architecture = platform.partition("_")
    if apple:
        release = (int(apple[2]), int(apple[3]))
        yield from (mac_platforms if apple[1] == "macosx" else ios_platforms)(release, apple[4])
    elif android:
        yield from android_platforms(int(android[1]), android[2])
    else:
        yield platform
        if prefix == "manylinux2010" or architecture in ("i686", "x86_64"):
            for older in _OLDER_MANYLINUX.get(prefix, ()):
                yield f"{older}_{architecture}"


def _unique(items: Iterable[_T]) -> list[_T]:
    return list(dict.fromkeys(items))
