"""The one verb of this room: from what the user asks for to what is to be installed.

Rule: the result is the one that pip would find in the same place with the same files, or an error
that says why there is none. Nothing is asked of the index when everything is installed already.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from packaging.specifiers import SpecifierSet
from packaging.utils import NormalizedName, canonicalize_name
from resolvelib import BaseReporter, ResolutionImpossible, ResolutionTooDeep, Resolver
from resolvelib.resolvers import Criterion
from resolvelib.resolvers.abstract import Result

from securepip.index.types import Index
from securepip.resolver.environment import TargetEnvironment
from securepip.resolver.explain import explain_conflict, explain_too_deep
from securepip.resolver.finder import CandidateFinder
from securepip.resolver.graph import (
    AnyRequirement,
    Candidate,
    ExtrasCandidate,
    IndexCandidate,
    InstalledCandidate,
    PythonCandidate,
    SpecifierRequirement,
    project_of,
    requirements_from,
)
from securepip.resolver.hashes import HashRules
from securepip.resolver.lookahead import LookAhead
from securepip.resolver.markers import MarkerRules
from securepip.resolver.options import ResolveOptions, SdistMetadata
from securepip.resolver.order import installation_order
from securepip.resolver.plan import Plan, PlannedFile, SatisfiedRequirement
from securepip.resolver.provider import Provider
from securepip.resolver.requirements import ResolveInput, UserRequirement

_log = logging.getLogger(__name__)
_MAX_ROUNDS = 200_000


def resolve(
    requirements: ResolveInput,
    environment: TargetEnvironment,
    index: Index,
    options: ResolveOptions,
    sdist_metadata: SdistMetadata | None = None,
) -> Plan:
    """Choose what is to be installed.

    Args:
        requirements: What the user asks for.
        environment: Where it is to be installed.
        index: The verified index. Not touched when what is installed meets all requirements and
            no upgrade is asked for.
        options: How to choose.
        sdist_metadata: Builds the metadata of source distributions that do not say it.

    Raises:
        UnknownProjectError: A trusted repository lacks a project that is needed.
        ResolutionError: There is no solution, or a source distribution would have to be built.
        VerificationError: What the index serves is not what was signed, a signed page offers a
            file of another project, or a file has another hash than the user named.
    """
    markers = MarkerRules(environment)
    asked = _collect(requirements, markers)
    finder = CandidateFinder(
        environment,
        index,
        HashRules(
            asked.applicable,
            required=requirements.require_hashes or options.require_hashes,
        ),
        prereleases=requirements.prereleases or options.prereleases,
        sdist_metadata=sdist_metadata,
    )
    python = PythonCandidate(environment.version)

    def prefers_installed(identifier: str) -> bool:
        return not (options.upgrade and asked.names(identifier))

    look_ahead = LookAhead(
        finder,
        markers,
        asked.constraints,
        prefers_installed,
        with_dependencies=not options.no_deps,
    )
    provider = Provider(
        finder,
        markers,
        python,
        asked.constraints,
        asked.order,
        prefers_installed,
        look_ahead,
        with_dependencies=not options.no_deps,
    )
    resolver = Resolver(provider, _Reporter())
    look_ahead(asked.requirements)
    try:
        result = resolver.resolve(asked.requirements, max_rounds=_MAX_ROUNDS)
    except ResolutionImpossible as error:
        raise explain_conflict(list(error.causes), finder, asked.constraints, python) from None
    except ResolutionTooDeep as error:
        raise explain_too_deep(error.round_count) from None
    return _plan(result, asked, environment, finder)


@dataclass(frozen=True)
class _Asked:
    """What applies to the target of what the user asks for.

    Attributes:
        requirements: As the resolver takes them, those with extras last.
        order: The place of each identifier that the user named.
        constraints: The versions that constraints admit.
        applicable: Requirements and constraints whose markers hold.
        projects: The projects that the user named.
    """

    requirements: Sequence[SpecifierRequirement]
    order: Mapping[str, int]
    constraints: Mapping[NormalizedName, SpecifierSet]
    applicable: Sequence[UserRequirement]
    projects: Collection[NormalizedName]

    def names(self, identifier: str) -> bool:
        """Whether the user named it, as it is or without its extras."""
        return identifier in self.order or project_of(identifier) in self.order


def _collect(given: ResolveInput, markers: MarkerRules) -> _Asked:
    wanted = [one for one in given.requirements if markers.apply(one.marker)]
    limits = [one for one in given.constraints if markers.apply(one.marker)]
    constraints: dict[NormalizedName, SpecifierSet] = {}
    for one in limits:
        if one.requirement is None:
            continue
        project = canonicalize_name(one.requirement.name)
        constraints[project] = constraints.get(project, SpecifierSet()) & one.requirement.specifier
    order: dict[str, int] = {}
    requirements: list[SpecifierRequirement] = []
    for at, one in enumerate(wanted):
        if one.requirement is None:
            continue
        made = requirements_from(one.requirement, one.source, by_user=True)
        order.setdefault(made[0].identifier, at)
        requirements += made
    # Those with extras last: what is asked of the projects themselves then limits these first.
    requirements.sort(key=lambda one: bool(one.extras))
    projects = {one.project for one in requirements}
    return _Asked(requirements, order, constraints, [*wanted, *limits], projects)


def _plan(
    result: Result[AnyRequirement, Candidate, str],
    asked: _Asked,
    environment: TargetEnvironment,
    finder: CandidateFinder,
) -> Plan:
    chosen = {
        candidate.project: candidate
        for candidate in result.mapping.values()
        if isinstance(candidate, IndexCandidate) and not _is_there(candidate, environment)
    }
    extras: dict[NormalizedName, frozenset[NormalizedName]] = {}
    for candidate in result.mapping.values():
        if isinstance(candidate, ExtrasCandidate):
            known = extras.get(candidate.project, frozenset())
            extras[candidate.project] = known | candidate.extras
    required_by = _required_by(result)
    kept = [one for one in finder.installed if result.mapping.get(one.identifier) is one]
    for one in chosen.values():
        _warn_if_yanked(one)
    return Plan(
        install=tuple(
            PlannedFile(
                project=project,
                version=chosen[project].version,
                file=chosen[project].offered.file,
                requested=project in asked.projects,
                extras=extras.get(project, frozenset()),
                required_by=required_by.get(project, ()),
                core_metadata=chosen[project].raw_metadata,
            )
            for project in installation_order(result.graph, chosen)
        ),
        satisfied=tuple(_satisfied(one, required_by.get(one.project, ())) for one in kept),
    )


def _is_there(candidate: IndexCandidate, environment: TargetEnvironment) -> bool:
    """Whether that version is installed, although the installed one was ruled out: as in pip."""
    installed = environment.installed.get(candidate.project)
    return installed is not None and installed.version == candidate.version


def _required_by(
    result: Result[AnyRequirement, Candidate, str],
) -> dict[NormalizedName, tuple[NormalizedName, ...]]:
    parents: dict[NormalizedName, set[NormalizedName]] = {}
    for key in result.graph:
        if key is not None:
            found = {project_of(parent) for parent in result.graph.iter_parents(key) if parent}
            parents.setdefault(project_of(key), set()).update(found - {project_of(key)})
    return {project: tuple(sorted(found)) for project, found in parents.items()}


def _satisfied(
    one: InstalledCandidate, required_by: tuple[NormalizedName, ...]
) -> SatisfiedRequirement:
    return SatisfiedRequirement(
        requirement=one.asked_by.unmarked,
        project=one.project,
        version=one.version,
        location=one.distribution.location,
        required_by=required_by,
        comes_from=one.asked_by.comes_from,
    )


def _warn_if_yanked(candidate: IndexCandidate) -> None:
    file = candidate.offered.file
    if file.yanked is not None:
        _log.warning(
            "The candidate selected for download or install is a yanked version: %r candidate "
            "(version %s at %s)\nReason for being yanked: %s",
            candidate.project,
            candidate.version,
            file.url,
            file.yanked or "<none given>",
        )


class _Reporter(BaseReporter[AnyRequirement, Candidate, str]):
    """Says, as pip does, that and why it takes long."""

    _LOOKING = (
        "securepip is %slooking at multiple versions of %s to determine which version is "
        "compatible with other requirements. This could take a while."
    )

    def __init__(self) -> None:
        self._rejected: Counter[str] = Counter()

    def rejecting_candidate(
        self, criterion: Criterion[AnyRequirement, Candidate], candidate: Candidate
    ) -> None:
        name = candidate.identifier
        self._rejected[name] += 1
        if self._rejected[name] == 1:
            _log.info(self._LOOKING, "", name)
        elif self._rejected[name] == 8:
            _log.info(self._LOOKING, "still ", name)
        elif self._rejected[name] == 13:
            _log.info(
                "This is taking longer than usual. You might need to provide the dependency "
                "resolver with stricter constraints to reduce runtime. If you want to abort this "
                "run, press Ctrl + C."
            )
