"""Answers resolvelib's questions as pip answers them, so that it finds what pip finds.

Rule: order matters everywhere. The order in which projects are decided, in which a project's
candidates are tried, and in which dependencies are listed decides *which* of several solutions is
found; each is pip's.
"""

from __future__ import annotations

import logging
import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import NormalizedName, canonicalize_name
from packaging.version import Version
from resolvelib import AbstractProvider
from resolvelib.structs import RequirementInformation

from securepip.errors import RequirementError
from securepip.formats.page import PageFile
from securepip.resolver.candidates import OfferedFile, is_pin, specifier_set
from securepip.resolver.finder import (
    CandidateFinder,
    InvalidMetadataError,
    UnsupportedWheelError,
)
from securepip.resolver.graph import (
    PYTHON,
    AnyRequirement,
    BaseCandidate,
    Candidate,
    ExactRequirement,
    ExtrasCandidate,
    FileCandidate,
    InstalledCandidate,
    PythonCandidate,
    PythonRequirement,
    SpecifierRequirement,
    UnsignedRequirement,
    project_of,
    requirements_from,
)
from securepip.resolver.markers import MarkerRules
from securepip.resolver.requirements import UserRequirement, parse_requirement

if TYPE_CHECKING:
    from resolvelib.providers import Preference

_log = logging.getLogger(__name__)
# After so many conflicts over a project that is not decided yet, it is decided before others.
_CONFLICTS_TO_PROMOTE = 5

Information = RequirementInformation[AnyRequirement, Candidate]


class Provider(AbstractProvider[AnyRequirement, Candidate, str]):
    """resolvelib's view of the projects, their candidates and what these require.

    Args:
        finder: Makes candidates.
        markers: Judges markers in the target.
        python: The target interpreter.
        constraints: The versions that constraints admit.
        requested: The identifiers that the user named, with their order.
        prefers_installed: Whether what is installed for an identifier comes before newer versions.
        look_ahead: Told of requirements as soon as they are known, so that what they need can be
            fetched in parallel.
        linked: The constraints that name a path or URL: no other file of the project will do.
        with_dependencies: False with ``--no-deps``.
        ignore_requires_python: ``--ignore-requires-python``.
    """

    def __init__(
        self,
        finder: CandidateFinder,
        markers: MarkerRules,
        python: PythonCandidate,
        constraints: Mapping[NormalizedName, SpecifierSet],
        requested: Mapping[str, int],
        prefers_installed: Callable[[str], bool],
        look_ahead: Callable[[Sequence[AnyRequirement]], None],
        *,
        linked: Mapping[NormalizedName, Sequence[UserRequirement]],
        with_dependencies: bool,
        ignore_requires_python: bool,
    ) -> None:
        self._finder = finder
        self._markers = markers
        self._python = python
        self._constraints = constraints
        self._requested = requested
        self._prefers_installed = prefers_installed
        self._look_ahead = look_ahead
        self._linked = linked
        self._with_dependencies = with_dependencies
        self._ignore_requires_python = ignore_requires_python
        self._dependencies: dict[Candidate, Sequence[AnyRequirement]] = {}
        self._conflicts: Counter[str] = Counter()
        self._satisfies = cache(_satisfies)

    def identify(self, requirement_or_candidate: AnyRequirement | Candidate) -> str:
        """The project with its extras; the interpreter has an identifier of its own."""
        return requirement_or_candidate.identifier

    def is_satisfied_by(self, requirement: AnyRequirement, candidate: Candidate) -> bool:
        """Whether the candidate will do."""
        return self._satisfies(requirement, candidate)

    def narrow_requirement_selection(
        self,
        identifiers: Iterable[str],
        resolutions: Mapping[str, Candidate],
        candidates: Mapping[str, Iterator[Candidate]],
        information: Mapping[str, Iterator[Information]],
        backtrack_causes: Sequence[Information],
    ) -> Iterable[str]:
        """What to decide next: the interpreter, else what conflicted last, or conflicts often."""
        causes = set()
        for cause in backtrack_causes:
            names = [cause.requirement.identifier]
            names += [cause.parent.identifier] if cause.parent is not None else []
            causes.update(names)
            self._conflicts.update(name for name in names if name not in resolutions)
        identifiers = list(identifiers)
        if PYTHON in identifiers:
            return [PYTHON]
        return (
            [name for name in identifiers if name in causes]
            or [name for name in identifiers if self._is_promoted(name)]
            or identifiers
        )

    def get_preference(
        self,
        identifier: str,
        resolutions: Mapping[str, Candidate],
        candidates: Mapping[str, Iterator[Candidate]],
        information: Mapping[str, Iterator[Information]],
        backtrack_causes: Sequence[Information],
    ) -> Preference:
        """Decide first, as smaller keys say, what leaves the fewest choices."""
        exact = False
        operators: list[str] = []
        for requirement, _ in information[identifier]:
            exact = exact or isinstance(requirement, ExactRequirement)
            if isinstance(requirement, SpecifierRequirement):
                operators += map(_operator, map(str, requirement.specifier))
        return (
            not self._is_promoted(identifier),
            not exact,
            "==" not in operators,
            not any(operator in ("<", "<=", "~=", "==*") for operator in operators),
            self._requested.get(identifier, math.inf),
            not operators,
            identifier,
        )

    def find_matches(
        self,
        identifier: str,
        requirements: Mapping[str, Iterator[AnyRequirement]],
        incompatibilities: Mapping[str, Iterator[Candidate]],
    ) -> Sequence[Candidate] | Callable[[], Iterator[Candidate]]:
        """The candidates that meet all requirements, best first; found when they are asked for."""
        asked = list(requirements[identifier])
        excluded = set(incompatibilities.get(identifier, ()))
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

    def get_dependencies(self, candidate: Candidate) -> Sequence[AnyRequirement]:
        """What the candidate requires here, in the order in which it says so."""
        if candidate not in self._dependencies:
            self._dependencies[candidate] = dependencies = list(self._dependencies_of(candidate))
            self._look_ahead(dependencies)
        return self._dependencies[candidate]

    def _is_promoted(self, identifier: str) -> bool:
        return self._conflicts[identifier] >= _CONFLICTS_TO_PROMOTE

    def _only_if_satisfying(
        self,
        candidates: Iterable[Candidate],
        asked: Sequence[AnyRequirement],
        excluded: set[Candidate],
    ) -> Sequence[Candidate]:
        return [
            candidate
            for candidate in candidates
            if candidate not in excluded
            and all(self.is_satisfied_by(one, candidate) for one in asked)
        ]

    def _exact_and_specifiers(
        self,
        identifier: str,
        asked: Sequence[AnyRequirement],
        requirements: Mapping[str, Iterator[AnyRequirement]],
    ) -> tuple[list[Candidate], list[SpecifierRequirement]]:
        """The candidates that are asked for as such, and what else limits the choice.

        What is asked of the project without extras also holds for the project with extras.
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
        """What constraints that name a path or URL leave of the choice."""
        identities = {one.link.identity for one in linked if one.link is not None}
        if exact:
            return [one for one in exact if {_link_identity(one)} == identities]
        if not specifiers or len(identities) > 1:
            return []
        try:
            candidate = self._finder.direct_candidate(self._finder.with_hashes(linked[0]))
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
        """What is installed, and a file for each version, in the order in which they are tried.

        What is installed comes before files of its version or older ones, or, when it is to be
        kept, before all. No metadata is read before the candidate's turn has come.
        """
        installed = self._usable_installed(template, specifier, excluded)
        done: set[Version] = set()
        if installed is not None and self._prefers_installed(identifier):
            yield installed
            done.add(installed.version)
            installed = None
        files = self._finder.matching(template.project, specifier)
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
        distribution = self._finder.installed_distribution(template.project)
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
        # One that cannot be used was named by the finder, once.
        with suppress(InvalidMetadataError):
            yield self._finder.found_candidate(files, at, template)

    def _dependencies_of(self, candidate: Candidate) -> Iterator[AnyRequirement]:
        if isinstance(candidate, PythonCandidate):
            return
        if isinstance(candidate, FileCandidate) and not self._ignore_requires_python:
            # First, so that what does not fit this Python is ruled out before its dependencies.
            specifier = specifier_set(candidate.metadata.requires_python)
            if str(specifier):
                required = PythonRequirement(specifier)
                yield required
                if not required.is_satisfied_by(self._python):
                    return
        if isinstance(candidate, ExtrasCandidate):
            yield ExactRequirement(candidate.base)
        if self._with_dependencies:
            yield from self._written_dependencies(candidate)

    def _written_dependencies(
        self, candidate: BaseCandidate | ExtrasCandidate
    ) -> Iterator[AnyRequirement]:
        base = candidate.base if isinstance(candidate, ExtrasCandidate) else candidate
        extras = frozenset[NormalizedName]()
        if isinstance(candidate, ExtrasCandidate):
            for missing in sorted(candidate.extras - base.provided_extras):
                _log.warning(
                    "%s %s does not provide the extra '%s'", base.project, base.version, missing
                )
            extras = candidate.extras & base.provided_extras
        for written in base.requires_dist:
            if self._markers.apply(written.marker, extras):
                yield from self._requirements(written, candidate)

    def _requirements(
        self, written: Requirement, candidate: BaseCandidate | ExtrasCandidate
    ) -> Iterator[AnyRequirement]:
        chain = candidate.asked_by.chain
        if not isinstance(candidate, ExtrasCandidate):
            # As in pip: the marker is quoted of what has extras only.
            chain = chain.replace(candidate.asked_by.text, candidate.asked_by.unmarked, 1)
        if not written.url:
            yield from requirements_from(written, chain)
            return
        base = candidate.base if isinstance(candidate, ExtrasCandidate) else candidate
        if isinstance(base, FileCandidate) and not isinstance(base.file, PageFile):
            yield from self._direct(written, chain)
            return
        # Nobody signs an address. What an installed distribution asked for that way and got is
        # there already; it is kept, and never replaced by something of the same name.
        project = canonicalize_name(written.name)
        there = self._finder.installed_distribution(project)
        if there is None or not isinstance(base, InstalledCandidate):
            yield UnsignedRequirement(project, str(written))
            return
        named = SpecifierRequirement(project, frozenset(), SpecifierSet(), str(written), chain)
        yield ExactRequirement(self._finder.installed_candidate(there, named))

    def _direct(self, written: Requirement, chain: str) -> Iterator[AnyRequirement]:
        """What a user's own distribution asks for by path or URL: as if the user had."""
        project = canonicalize_name(written.name)
        try:
            asked = replace(parse_requirement(str(written).partition(";")[0], chain), by_user=False)
            candidate = self._finder.direct_candidate(asked)
        except (RequirementError, InvalidMetadataError) as error:
            _log.info("Discarding %s: %s", written, error)
            yield UnsignedRequirement(project, str(written))
            return
        yield from direct_requirements(candidate, asked.extras, self._finder)


def direct_requirements(
    candidate: FileCandidate, extras: frozenset[NormalizedName], finder: CandidateFinder
) -> list[AnyRequirement]:
    """That very candidate, and what its extras add."""
    found: list[AnyRequirement] = [ExactRequirement(candidate)]
    if extras:
        found.append(ExactRequirement(finder.with_extras(candidate, extras, candidate.asked_by)))
    return found


def _link_identity(candidate: Candidate) -> tuple[object, ...] | None:
    base = candidate.base if isinstance(candidate, ExtrasCandidate) else candidate
    return base.link.identity if isinstance(base, FileCandidate) and base.link else None


def _satisfies(requirement: AnyRequirement, candidate: Candidate) -> bool:
    return requirement.is_satisfied_by(candidate)


def _operator(specifier: str) -> str:
    """The operator of one specifier; exact ones are ``==``, those with a wildcard ``==*``."""
    if specifier.startswith("=="):
        return "==" if is_pin([specifier]) else "==*"
    return specifier[:2] if specifier[1] in "=" else specifier[:1]
