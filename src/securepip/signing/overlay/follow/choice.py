"""Chooses the releases of a project, and their files, whose requirements are read.

Rule: the newest releases are read, and the newest one for every Python version. Of each release,
one file is read for every platform on which the requirements may differ.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache

from packaging.specifiers import SpecifierSet
from packaging.version import Version

from securepip.formats.distribution import DistributionName, parse_distribution
from securepip.formats.page import PageFile, ProjectPage

PYTHONS = tuple(f"3.{minor}.99" for minor in range(9, 20))
"""The Python versions for each of which the newest release is read.

The newest release of all may have dropped a Python version, and dependencies with it.
"""

_MAX_METADATA_FILES = 24
"""The most metadata files that are read for one release."""


Release = Sequence[tuple[PageFile, DistributionName]]
"""The files of one version, with their parsed names."""


def releases_of(page: ProjectPage) -> dict[Version, Release]:
    """The distributions of ``page`` by version."""
    releases: dict[Version, list[tuple[PageFile, DistributionName]]] = {}
    for file in page.files:
        name = parse_distribution(file.filename, page.project)
        if name is not None:
            releases.setdefault(name.version, []).append((file, name))
    return {**releases}


def choose_versions(
    releases: Mapping[Version, Release],
    specifier: SpecifierSet,
    constraint: SpecifierSet,
    count: int,
    pythons: Sequence[str] = PYTHONS,
) -> list[Version]:
    """The newest versions that ``specifier`` and ``constraint`` allow, the newest first.

    These are the ``count`` newest, and the newest for each of ``pythons``. Yanked releases and
    pre-releases are among them only if pip would install them.
    """
    admitted = list((specifier & constraint).filter(releases))
    if not _is_pin(specifier):
        kept = [v for v in admitted if any(file.yanked is None for file, _ in releases[v])]
        admitted = kept or admitted
    admitted.sort(reverse=True)
    chosen = set(admitted[:count])
    for python in pythons:
        for version in admitted:
            if any(_supports(file.requires_python, python) for file, _ in releases[version]):
                chosen.add(version)
                break
    return sorted(chosen, reverse=True)


def choose_files(release: Release) -> list[tuple[PageFile, ...]]:
    """The files of a release whose metadata is to be read, in groups with the same requirements.

    Wheels of one release may differ in their requirements. Wheels with the same metadata digest do
    not, and form a group. Wheels without a known digest would have to be fetched, so one for each
    platform is enough. An sdist is read only if there is no wheel. The smallest file of a group
    comes first.
    """
    wheels = sorted((each for each in release if is_wheel(each[0])), key=lambda e: e[0].size or 0)
    if not wheels:
        return [(file,) for file, _ in release[:1]]
    groups: dict[str, list[PageFile]] = {}
    for file, name in wheels:
        groups.setdefault(file.core_metadata or _platform(name), []).append(file)
    return [
        tuple(group if group[0].core_metadata else group[:1])
        for group in list(groups.values())[:_MAX_METADATA_FILES]
    ]


def is_wheel(file: PageFile) -> bool:
    """Whether ``file`` is a wheel."""
    return file.filename.endswith(".whl")


def _is_pin(specifier: SpecifierSet) -> bool:
    return any(
        each.operator == "===" or (each.operator == "==" and not each.version.endswith(".*"))
        for each in specifier
    )


@lru_cache(maxsize=4096)
def _supports(requires_python: str | None, python: str) -> bool:
    try:
        return requires_python is None or SpecifierSet(requires_python).contains(python)
    except ValueError:  # an invalid specifier, or a number with too many digits for Python
        return True


def _platform(name: DistributionName) -> str:
    """The family of operating systems that a wheel is for."""
    platforms = name.tags.rpartition("-")[2].lower()
    for family in ("any", "win", "macos", "linux", "ios", "android"):
        if family in platforms:
            return family
    return "other"
