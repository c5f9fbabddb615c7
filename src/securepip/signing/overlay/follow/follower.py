"""Finds the projects that a page can lead to.

Rule: there is no network, no repository and no memory here. A ``Look`` gets a page and the known
requirements of its files. It names the files whose requirements are missing, is told them, and then
yields what the project needs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

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
from securepip.signing.overlay.follow.walk import Need, Want, Wish

Group = tuple[PageFile, ...]
"""Files with the same requirements, because they have the same metadata digest."""


class Follower:
    """Looks at pages.

    Args:
        constraints: pip's constraints, which limit the versions that users may get.
        versions: How many of the newest releases of a project are followed.
        pythons: Python versions for each of which the newest release is followed too.
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

    def look(
        self,
        page: ProjectPage,
        wants: Sequence[Want],
        requirements: Mapping[Sha256, tuple[str, ...]],
    ) -> Look:
        """Look at a page.

        Args:
            page: The project's page.
            wants: What other projects want of this one.
            requirements: The requirements that are known, by the sha256 of the distribution.
        """
        look = Look(page.project, wants, requirements)
        releases: Mapping[Version, Release] | None = None
        for want in wants:
            with look.guarded():
                if releases is None:
                    releases = releases_of(page)
                look.choose(want, *self._choose(page.project, releases, want))
        return look

    def _choose(
        self, project: NormalizedName, releases: Mapping[Version, Release], want: Want
    ) -> tuple[list[Group], str]:
        """The files to read for ``want``; and a remark if there are none."""
        constraint = self._constraints.get(project, SpecifierSet())
        versions = choose_versions(
            releases, want.specifier, constraint, self._versions, self._pythons
        )
        if not versions:
            return [], f"no release satisfies {want.specifier & constraint}"
        return [group for version in versions for group in choose_files(releases[version])], ""


class Look:
    """One look at one page.

    Attributes:
        project: The project of the page.
        wants: What other projects want of it.
        remarks: Remarks for people, a sentence each.
        problems: Why something could not be read, a sentence each.
    """

    def __init__(
        self,
        project: NormalizedName,
        wants: Sequence[Want],
        requirements: Mapping[Sha256, tuple[str, ...]],
    ) -> None:
        self.project = project
        self.wants = wants
        self.remarks: list[str] = []
        self.problems: list[str] = []
        self._requirements = dict(requirements)
        self._chosen: list[tuple[Want, Group]] = []

    def choose(self, want: Want, groups: Sequence[Group], remark: str) -> None:
        """Note that the requirements of ``groups`` say what ``want`` leads to."""
        self._chosen += [(want, group) for group in groups]
        if remark:
            self.remarks.append(remark)

    def unread(self) -> list[Group]:
        """The groups whose requirements are not known yet."""
        unread = {group[0].sha256: group for _, group in self._chosen if self._lines(group) is None}
        return list(unread.values())

    def tell(self, file: PageFile, lines: Sequence[str]) -> None:
        """Take the requirements of ``file``, the first of a group."""
        self._requirements[file.sha256] = tuple(lines)

    def needs(self) -> Iterator[Need]:
        """The projects that the chosen files require, as far as their requirements are known."""
        for want, group in self._chosen:
            with self.guarded():
                yield from list(self._needs(want, self._lines(group) or ()))

    @contextmanager
    def guarded(self) -> Iterator[None]:
        """Turn any error into a problem: one project's page must not stop the other projects."""
        try:
            yield
        except Exception as error:
            self.problems.append(
                f"its releases and what they require cannot be read: {error!r:.200}"
            )

    def _lines(self, group: Group) -> tuple[str, ...] | None:
        known = self._requirements
        return next((known[file.sha256] for file in group if file.sha256 in known), None)

    def _needs(self, want: Want, lines: Sequence[str]) -> Iterator[Need]:
        for line in lines:
            try:
                requirement = parse_dependency(line)
                project, asked = want_of(requirement)
            except FormatError:
                continue
            if requirement.url is None and counts(requirement, want.extras):
                certain = requirement.marker is None
                yield Need(Wish(project, self.project, named=False, certain=certain), asked)


def want_of(requirement: Requirement) -> tuple[NormalizedName, Want]:
    """The project that ``requirement`` names, and the versions and extras that it asks for."""
    extras = frozenset(canonicalize_name(extra) for extra in requirement.extras)
    return parse_project(requirement.name), Want(requirement.specifier, extras)


def _specifiers(constraints: Sequence[Requirement]) -> Mapping[NormalizedName, SpecifierSet]:
    merged: dict[NormalizedName, SpecifierSet] = {}
    for constraint in constraints:
        project = parse_project(constraint.name)
        merged[project] = merged.get(project, SpecifierSet()) & constraint.specifier
    return merged
