"""Finds the candidates that satisfy the requirements for one project, in the order to try them.

Rule: the metadata of a candidate is read only when its turn comes.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import cache

from packaging.specifiers import SpecifierSet
from packaging.utils import NormalizedName
from packaging.version import Version

from securepip.resolver.candidates.catalogue import Catalogue
from securepip.resolver.candidates.direct import DirectFiles, UnsupportedWheelError
from securepip.resolver.candidates.finder import CandidateFinder
from securepip.resolver.candidates.graph import (
    PYTHON,
    AnyRequirement,
    BaseCandidate,
    Candidate,
    ExactRequirement,
    ExtrasCandidate,
    FileCandidate,
    InstalledCandidate,
    PythonCandidate,
    SpecifierRequirement,
    UnsignedRequirement,
    project_of,
)
from securepip.resolver.candidates.metadata import InvalidMetadataError
from securepip.resolver.candidates.ranking import OfferedFile
from securepip.resolver.requirements.types import UserRequirement

_log = logging.getLogger(__name__)


class Matches:
    """Finds the candidates that satisfy requirements.

    Args:
        finder: Makes candidates.
        catalogue: What is available.
        direct: Makes the candidates that paths and URLs name.
        python: The target interpreter.
        constraints: The versions that constraints admit.
        linked: The constraints that name a path or URL. They admit no other file of the project.
        prefers_installed: Whether the installed distribution of an identifier is tried before newer
            versions.

    Attributes:
        unknown: The projects that were asked for and that nobody knows.
    """

    def __init__(
        self,
        finder: CandidateFinder,
        catalogue: Catalogue,
        direct: DirectFiles,
        python: PythonCandidate,
        constraints: Mapping[NormalizedName, SpecifierSet],
        linked: Mapping[NormalizedName, Sequence[UserRequirement]],
        prefers_installed: Callable[[str], bool],
    ) -> None:
        self._finder = finder
        self._catalogue = catalogue
        self._direct = direct
        self._python = python
        self._constraints = constraints
        self._linked = linked
        self._prefers_installed = prefers_installed
        self.unknown: set[NormalizedName] = set()
        self.satisfies = cache(_satisfies)
        """Whether a candidate satisfies a requirement."""

    def find(
        self,
        identifier: str,
        requirements: Mapping[str, Iterator[AnyRequirement]],
        excluded: set[Candidate],
    ) -> Sequence[Candidate] | Callable[[], Iterator[Candidate]]:
        """The candidates that satisfy all requirements, best first.

        Args:
            identifier: The project, perhaps with extras, or the interpreter.
            requirements: All requirements, by identifier.
            excluded: The candidates that were ruled out.

        Returns:
            The candidates, or a function whose iterator finds them one by one.
        """
        asked = list(requirements[identifier])
        if identifier == PYTHON:
            return self._only_if_satisfying([self._python], asked, excluded)
        exact, specifiers = self._exact_and_specifiers(identifier, asked, requirements)
        project = project_of(identifier)
        constraint = self._constraints.get(project, SpecifierSet())
        linked = self._linked.get(project, ())
        if linked:
            exact = self._only_linked(exact, specifiers, linked)
            if not exact:
                return ()
        if exact:
            admitted = [c for c in exact if constraint.contains(c.version, prereleases=True)]
            return self._only_if_satisfying(admitted, asked, excluded)
        if not specifiers or any(isinstance(one, UnsignedRequirement) for one in asked):
            return ()
        return lambda: self._found(identifier, specifiers, constraint, excluded)

    def _only_if_satisfying(
        self,
        candidates: Iterable[Candidate],
        asked: Sequence[AnyRequirement],
        excluded: set[Candidate],
    ) -> Sequence[Candidate]:
        return [
            candidate
            for candidate in candidates
            if candidate not in excluded and all(self.satisfies(one, candidate) for one in asked)
        ]

    def _exact_and_specifiers(
        self,
        identifier: str,
        asked: Sequence[AnyRequirement],
        requirements: Mapping[str, Iterator[AnyRequirement]],
    ) -> tuple[list[Candidate], list[SpecifierRequirement]]:
        """The candidates that are required exactly, and the specifiers that limit the choice.

        Requirements for the project without extras also limit the project with extras.
        """
        exact: dict[Candidate, None] = {
            one.candidate: None for one in asked if isinstance(one, ExactRequirement)
        }
        specifiers = [one for one in asked if isinstance(one, SpecifierRequirement)]
        project = project_of(identifier)
        if project != identifier:
            template = specifiers[0] if specifiers else None
            for one in requirements.get(project, ()):
                if isinstance(one, SpecifierRequirement):
                    specifiers.append(one)
                elif (
                    isinstance(one, ExactRequirement)
                    and not isinstance(one.candidate, ExtrasCandidate)
                    and template is not None
                ):
                    exact[self._finder.with_extras(one.candidate, template.extras, template)] = None
        return list(exact), specifiers

    def _only_linked(
        self,
        exact: Sequence[Candidate],
        specifiers: Sequence[SpecifierRequirement],
        linked: Sequence[UserRequirement],
    ) -> list[Candidate]:
        """The candidates that constraints with a path or URL leave."""
        identities = {one.link.identity for one in linked if one.link is not None}
        if exact:
            return [one for one in exact if {_link_identity(one)} == identities]
        if not specifiers or len(identities) > 1:
            return []
        try:
            candidate = self._direct.candidate(self._direct.with_hashes(linked[0]))
        except (UnsupportedWheelError, InvalidMetadataError) as error:
            _log.info("Discarding %s: %s", linked[0].text, error)
            return []
        template = specifiers[0]
        if not template.extras:
            return [candidate]
        return [self._finder.with_extras(candidate, template.extras, template)]

    def _found(
        self,
        identifier: str,
        specifiers: Sequence[SpecifierRequirement],
        constraint: SpecifierSet,
        excluded: set[Candidate],
    ) -> Iterator[Candidate]:
        template, specifier = specifiers[0], constraint
        for one in specifiers:
            specifier &= one.specifier
        for base in self._bases(identifier, template, specifier, excluded):
            candidate: Candidate = base
            if template.extras:
                candidate = self._finder.with_extras(base, template.extras, template)
            if candidate not in excluded:
                yield candidate

    def _bases(
        self,
        identifier: str,
        template: SpecifierRequirement,
        specifier: SpecifierSet,
        excluded: set[Candidate],
    ) -> Iterator[BaseCandidate]:
        """The installed distribution, and a file for each version, in the order to try them.

        The installed distribution comes before files of its version and older ones, or, if it is
        to be kept, before all files.
        """
        installed = self._usable_installed(template, specifier, excluded)
        done: set[Version] = set()
        if installed is not None and self._prefers_installed(identifier):
            yield installed
            done.add(installed.version)
            installed = None
        files = self._catalogue.matching(template.project, specifier)
        if not files and not self._catalogue.knows(template.project):
            self.unknown.add(template.project)
        for at, offered in enumerate(files):
            if offered.version in done:
                continue
            if installed is not None and installed.version >= offered.version:
                yield installed
                installed = None
            done.add(offered.version)
            yield from self._candidate(files, at, template)
        if installed is not None:
            yield installed

    def _usable_installed(
        self, template: SpecifierRequirement, specifier: SpecifierSet, excluded: set[Candidate]
    ) -> InstalledCandidate | None:
        distribution = self._catalogue.installed_distribution(template.project)
        if distribution is None or not specifier.contains(distribution.version, prereleases=True):
            return None
        installed = self._finder.installed_candidate(distribution, template)
        candidate: Candidate = installed
        if template.extras:
            candidate = self._finder.with_extras(installed, template.extras, template)
        return None if candidate in excluded else installed

    def _candidate(
        self, files: Sequence[OfferedFile], at: int, template: SpecifierRequirement
    ) -> Iterator[FileCandidate]:
        with suppress(InvalidMetadataError):  # the finder has logged it
            yield self._finder.found_candidate(files, at, template)


def _link_identity(candidate: Candidate) -> tuple[object, ...] | None:
    base = candidate.base if isinstance(candidate, ExtrasCandidate) else candidate
    return base.link.identity if isinstance(base, FileCandidate) and base.link else None


def _satisfies(requirement: AnyRequirement, candidate: Candidate) -> bool:
    return requirement.is_satisfied_by(candidate)
