"""Which projects the named ones can lead to: a walk over what it is told.

Rule: no network and no repository here. The follower is told pages and requirements, and answers
with what is needed next: another project, the requirements of a file, or that something is wrong.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import NormalizedName, canonicalize_name
from packaging.version import Version

from securepip.errors import FormatError
from securepip.formats.core_metadata import parse_dependency
from securepip.formats.digests import Sha256
from securepip.formats.layout import parse_project
from securepip.formats.page import PageFile, ProjectPage
from securepip.signing.overlay.follow.choice import (
    PYTHONS,
    Release,
    choose_files,
    choose_versions,
    releases_of,
)
from securepip.signing.overlay.follow.markers import counts


@dataclass(frozen=True)
class NeedProject:
    """Something requires a project.

    Attributes:
        project: The project.
        because: The project that requires it.
        certain: Whether it is required on every platform.
    """

    project: NormalizedName
    because: NormalizedName
    certain: bool


@dataclass(frozen=True)
class NeedRequirements:
    """The requirements of a file are to be read.

    Attributes:
        project: Whose file it is.
        group: The file, and those that have the same metadata digest.
    """

    project: NormalizedName
    group: tuple[PageFile, ...]


@dataclass(frozen=True)
class Doubt:
    """Something about a project that people should know.

    Attributes:
        project: The project.
        what: A sentence.
        failed: Whether it was not read to its end.
    """

    project: NormalizedName
    what: str
    failed: bool = False


Step = NeedProject | NeedRequirements | Doubt


@dataclass(frozen=True)
class _Want:
    """A requirement somewhere on the way from what was named."""

    project: NormalizedName
    specifier: SpecifierSet
    extras: frozenset[NormalizedName]


class Follower:
    """Walks from requirement to requirement, over all that is told to it.

    Args:
        constraints: pip's, which say what versions its users may get.
        versions: How many of the newest releases of a project count.
        pythons: Versions of Python for each of which the newest release counts too.
    """

    def __init__(
        self,
        constraints: Sequence[Requirement],
        versions: int,
        pythons: Sequence[str] = PYTHONS,
    ) -> None:
        self._constraints = _specifiers(constraints)
        self._versions = versions
        self._pythons = pythons
        self._pages: dict[NormalizedName, ProjectPage | None] = {}
        self._releases: dict[NormalizedName, dict[Version, Release]] = {}
        self._requirements: dict[NormalizedName, dict[Sha256, tuple[str, ...]]] = {}
        self._seen: set[_Want] = set()
        self._ready: deque[_Want] = deque()
        self._need_page: dict[NormalizedName, list[_Want]] = {}
        self._reading: dict[tuple[NormalizedName, Sha256], list[_Want]] = {}

    def follow(self, requirement: Requirement) -> list[Step]:
        """Follow what ``requirement``, which a person named, can lead to."""
        self._add(_want(requirement))
        return self._walk()

    def tell_page(
        self,
        project: NormalizedName,
        page: ProjectPage | None,
        requirements: Mapping[Sha256, tuple[str, ...]],
    ) -> list[Step]:
        """The page of ``project``, and the requirements that are known of its files."""
        self._pages[project] = page
        self._requirements[project] = dict(requirements)
        self._ready.extend(self._need_page.pop(project, ()))
        return self._walk()

    def tell_requirements(
        self, project: NormalizedName, file: PageFile, lines: Sequence[str]
    ) -> list[Step]:
        """The requirements of ``file``, the first of a ``NeedRequirements.group``."""
        self._requirements[project][file.sha256] = tuple(lines)
        steps: list[Step] = []
        for want in self._reading.pop((project, file.sha256), ()):
            steps += self._guarded(project, self._follow_lines, want, lines)
        return steps + self._walk()

    def unread(self) -> list[NormalizedName]:
        """The projects of which requirements are still to be told."""
        return sorted({project for project, _ in self._reading})

    def _add(self, want: _Want) -> None:
        if want in self._seen:
            return
        self._seen.add(want)
        if want.project in self._pages:
            self._ready.append(want)
        else:
            self._need_page.setdefault(want.project, []).append(want)

    def _walk(self) -> list[Step]:
        steps: list[Step] = []
        while self._ready:
            steps += self._guarded(self._ready[0].project, self._expand, self._ready.popleft())
        return steps

    def _guarded(
        self, project: NormalizedName, step: Callable[..., list[Step]], *arguments: object
    ) -> list[Step]:
        """What one project's page makes Python do must not stop the walk over the others."""
        try:
            return step(*arguments)
        except Exception as error:
            what = f"its releases and what they require cannot be read: {error!r:.200}"
            return [Doubt(project, what, failed=True)]

    def _expand(self, want: _Want) -> list[Step]:
        """Follow what the releases that ``want`` admits require."""
        page = self._pages[want.project]
        if page is None:
            return []
        if want.project not in self._releases:
            self._releases[want.project] = releases_of(page)
        releases = self._releases[want.project]
        constraint = self._constraints.get(want.project, SpecifierSet())
        versions = choose_versions(
            releases, want.specifier, constraint, self._versions, self._pythons
        )
        if not versions:
            what = f"no release satisfies {want.specifier & constraint}"
            return [Doubt(want.project, what)]
        steps: list[Step] = []
        known = self._requirements[want.project]
        for version in versions:
            for group in choose_files(releases[version]):
                lines = next((known[f.sha256] for f in group if f.sha256 in known), None)
                if lines is not None:
                    steps += self._follow_lines(want, lines)
                    continue
                waiting = self._reading.setdefault((want.project, group[0].sha256), [])
                waiting.append(want)
                if len(waiting) == 1:
                    steps.append(NeedRequirements(want.project, group))
        return steps

    def _follow_lines(self, want: _Want, lines: Sequence[str]) -> list[Step]:
        steps: list[Step] = []
        for line in lines:
            try:
                requirement = parse_dependency(line)
                target = _want(requirement)
            except FormatError:
                continue
            if requirement.url is None and counts(requirement, want.extras):
                certain = requirement.marker is None
                steps.append(NeedProject(target.project, want.project, certain))
                self._add(target)
        return steps


def _want(requirement: Requirement) -> _Want:
    extras = frozenset(canonicalize_name(extra) for extra in requirement.extras)
    return _Want(parse_project(requirement.name), requirement.specifier, extras)


def _specifiers(constraints: Sequence[Requirement]) -> Mapping[NormalizedName, SpecifierSet]:
    merged: dict[NormalizedName, SpecifierSet] = {}
    for constraint in constraints:
        project = parse_project(constraint.name)
        merged[project] = merged.get(project, SpecifierSet()) & constraint.specifier
    return merged
