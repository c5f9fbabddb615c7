"""Distribution file names: which project and version a file says it belongs to.

Sources: binary and source distribution file name specifications; for old sdists, whose version
may contain a dash, the longest prefix that normalizes to the project's name, as pip does.
"""

from __future__ import annotations

import re
from enum import Enum
from functools import lru_cache
from math import prod
from typing import NamedTuple

from packaging.utils import (
    BuildTag,
    InvalidWheelFilename,
    NormalizedName,
    canonicalize_name,
    parse_wheel_filename,
)
from packaging.version import InvalidVersion, Version

WHEEL_SUFFIX = ".whl"
_MAX_TAGS = 1_000
_PLAIN = re.compile(r"([A-Za-z0-9]+(?:[._][A-Za-z0-9]+)*)-([0-9]+(?:\.[0-9]+)*)")
# Old sdists name the Python that they are for after the version.
_PYTHON = re.compile(r"-py[123]\.?[0-9]?$")
SDIST_SUFFIXES = (
    *(".tar.gz", ".zip", ".tar.bz2", ".tgz", ".tar.xz", ".tar", ".tbz"),
    *(".txz", ".tlz", ".tar.lzma"),
)


class Kind(Enum):
    """What kind of distribution a file is."""

    WHEEL = "wheel"
    SDIST = "sdist"


class DistributionName(NamedTuple):
    """What a file name says: project, version, and for a wheel its build number and tags.

    The tags are as the name has them, ``py2.py3-none-any``: of a page of thousands of names they
    would fill the memory.
    """

    project: NormalizedName
    version: Version
    kind: Kind
    build: BuildTag = ()
    tags: str = ""


def is_distribution(filename: str) -> bool:
    """Whether the suffix is that of a wheel or an sdist."""
    return filename.endswith((WHEEL_SUFFIX, *SDIST_SUFFIXES))


def parse_distribution(filename: str, project: NormalizedName) -> DistributionName | None:
    """What ``filename`` says, or None when it is no distribution of ``project``.

    Real pages hold eggs, installers, invalid versions and names from before the specifications;
    none of these can be chosen, and none of them is an error.
    """
    if filename.endswith(WHEEL_SUFFIX):
        # A page has a few releases for a few platforms, of which each file is one of each.
        stem = filename[: -len(WHEEL_SUFFIX)]
        before = stem.rsplit("-", 3)[0]
        release, tags = _parse_release(before), stem[len(before) + 1 :]
        if release is None or release[0] != project or not _are_tags(tags):
            return None
        return DistributionName(project, release[1], Kind.WHEEL, release[2], tags)
    for suffix in SDIST_SUFFIXES:
        if filename.endswith(suffix):
            return _parse_sdist(filename.removesuffix(suffix), project)
    return None


@lru_cache(maxsize=4096)
def _are_tags(tags: str) -> bool:
    """Whether ``tags`` are what a wheel's name may end with, and not too many.

    A name of two hundred characters can stand for tens of thousands of tags, and a page of such
    names keep a command busy for hours.
    """
    if prod(part.count(".") + 1 for part in tags.split("-")) > _MAX_TAGS:
        return False
    return _parse_wheel(f"x-1-{tags}.whl") is not None


@lru_cache(maxsize=4096)
def _parse_release(before: str) -> tuple[NormalizedName, Version, BuildTag] | None:
    """What the name of a wheel says before its three tags; None where it is none."""
    plain = _PLAIN.fullmatch(before)
    if plain:  # as nearly all are; the library looks at tags again for each
        return canonicalize_name(plain[1]), Version(plain[2]), ()
    return _parse_wheel(f"{before}-py3-none-any.whl")


def _parse_wheel(filename: str) -> tuple[NormalizedName, Version, BuildTag] | None:
    """Project, version and build number that the name of a wheel says; None where it is none."""
    try:
        project, version, build, _ = parse_wheel_filename(filename)
    except InvalidWheelFilename:
        return None
    return project, version, build


def _parse_sdist(stem: str, project: NormalizedName) -> DistributionName | None:
    """Split ``name-version`` where the name is the project's; the last such dash wins."""
    at = len(stem)
    while (at := stem.rfind("-", 0, at)) > 0:
        if canonicalize_name(stem[:at]) == project:
            try:
                version = Version(_PYTHON.sub("", stem[at + 1 :]))
                return DistributionName(project, version, Kind.SDIST)
            except InvalidVersion:
                return None
    return None
