"""Distribution file names: the project and version that they say.

Sources: the specifications of binary and source distribution file names. The version of an old
sdist may contain a dash: as in pip, the longest prefix that normalizes to the project's name is
taken for the name.
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
# Old sdists have the Python version that they are for after their own version.
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

    The tags are text, ``py2.py3-none-any``: parsed, those of a long page would fill the memory.
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
    """Parse ``filename``; None if it is not a distribution of ``project``.

    Real pages also list eggs, installers, invalid versions and names older than the specifications.
    These cannot be installed, but they are no errors either.
    """
    if filename.endswith(WHEEL_SUFFIX):
        # Release and tags apart: a page combines few releases with few tags, and both are cached.
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
    """Whether ``tags`` are valid at the end of a wheel's name, and not too many.

    A name of two hundred characters can mean tens of thousands of tags. A hostile page of such
    names could keep a command busy for hours.
    """
    if prod(part.count(".") + 1 for part in tags.split("-")) > _MAX_TAGS:
        return False
    return _parse_wheel(f"x-1-{tags}.whl") is not None


@lru_cache(maxsize=4096)
def _parse_release(before: str) -> tuple[NormalizedName, Version, BuildTag] | None:
    """Parse the part of a wheel's name before its three tags; None if it is not valid."""
    plain = _PLAIN.fullmatch(before)
    if plain:  # the usual case; the library would parse the tags too
        return canonicalize_name(plain[1]), Version(plain[2]), ()
    return _parse_wheel(f"{before}-py3-none-any.whl")


def _parse_wheel(filename: str) -> tuple[NormalizedName, Version, BuildTag] | None:
    """The project, version and build number in a wheel's name; None if it is not valid."""
    try:
        project, version, build, _ = parse_wheel_filename(filename)
    except InvalidWheelFilename:
        return None
    return project, version, build


def _parse_sdist(stem: str, project: NormalizedName) -> DistributionName | None:
    """Split ``name-version`` at the last dash that leaves the project's name before it."""
    at = len(stem)
    while (at := stem.rfind("-", 0, at)) > 0:
        if canonicalize_name(stem[:at]) == project:
            try:
                version = Version(_PYTHON.sub("", stem[at + 1 :]))
                return DistributionName(project, version, Kind.SDIST)
            except InvalidVersion:
                return None
    return None
