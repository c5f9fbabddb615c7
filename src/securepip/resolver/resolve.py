"""The one verb of this room: from what the user asks for to what is to be installed.

Rule: the result is the one that pip would find in the same place with the same files, or an error
that says why there is none. Nothing is asked of the index when everything is installed already.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from packaging.specifiers import SpecifierSet
from packaging.utils import NormalizedName
from packaging.version import Version
from resolvelib import ResolutionImpossible, ResolutionTooDeep, Resolver
from resolvelib.resolvers.abstract import Result

from securepip.errors import RequirementError
from securepip.formats.distribution import WHEEL_SUFFIX
from securepip.formats.page import PageFile
from securepip.index.types import Index, UserDirectory, UserFile
from securepip.resolver.environment import TargetEnvironment
from securepip.resolver.explain import explain_conflict, explain_too_deep
from securepip.resolver.finder import CandidateFinder, InvalidMetadataError
from securepip.resolver.graph import (
    AnyRequirement,
    Candidate,
    ExtrasCandidate,
    FileCandidate,
    InstalledCandidate,
    PythonCandidate,
    project_of,
    requirements_from,
)
from securepip.resolver.hashes import HashRules
from securepip.resolver.lookahead import LookAhead
from securepip.resolver.markers import MarkerRules
from securepip.resolver.options import FetchDirect, ResolveOptions, SdistMetadata
from securepip.resolver.order import installation_order
from securepip.resolver.plan import Plan, PlannedFile, SatisfiedRequirement
from securepip.resolver.provider import Provider, direct_requirements
from securepip.resolver.reporter import make_reporter
from securepip.resolver.requirements import ResolveInput, UserRequirement

_log = logging.getLogger(__name__)
_MAX_ROUNDS = 200_000


def resolve(
    requirements: ResolveInput,
    environment: TargetEnvironment,
    index: Index,
    options: ResolveOptions,
    sdist_metadata: SdistMetadata | None = None,
    fetch_direct: FetchDirect | None = None,
) -> Plan:
    """Choose what is to be installed.

    Args:
        requirements: What the user asks for.
        environment: Where it is to be installed.
        index: The verified index. Not touched when what is installed meets all requirements and
            no upgrade is asked for.
        options: How to choose, by the command line; what files say is added.
        sdist_metadata: Builds the metadata of folders, and of source distributions that do not
            say it.
        fetch_direct: Fetches what is named by address and hash; without it that is refused.

    Raises:
        UnknownProjectError: A trusted repository lacks a project that is needed.
        ResolutionError: There is no solution, or a source distribution would have to be built.
        VerificationError: What the index serves is not what was signed, a signed page offers a
            file of another project, or a file has another hash than the user named.
    """
    markers = MarkerRules(environment)
    options = requirements.options(options)
    wanted = [one for one in requirements.requirements if _is_meant(one, markers)]
    limits = [one for one in requirements.constraints if markers.apply(one.marker)]
    finder = CandidateFinder(
        environment,
        index,
        HashRules(wanted, limits, required=options.require_hashes),
        options=options,
        sdist_metadata=sdist_metadata,
        fetch_direct=fetch_direct,
        config_settings={
            one.project: one.config_settings
            for one in wanted
            if one.project is not None and one.config_settings
        },
    )
    asked = _collect(wanted, limits, finder)
    python = PythonCandidate(environment.version)

    def prefers_installed(identifier: str) -> bool:
        eager = options.upgrade_strategy == "eager"
        return not (options.upgrade and (eager or asked.names(identifier)))

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
        linked=asked.linked,
        with_dependencies=not options.no_deps,
        ignore_requires_python=options.ignore_requires_python,
    )
    resolver = Resolver(provider, make_reporter())
    look_ahead(asked.requirements)
    try:
        result = resolver.resolve(asked.requirements, max_rounds=_MAX_ROUNDS)
    except ResolutionImpossible as error:
        raise explain_conflict(list(error.causes), finder, asked.constraints, python) from None
    except ResolutionTooDeep as error:
        raise explain_too_deep(error.round_count) from None
    return _plan(result, asked, environment, finder, options)


@dataclass(frozen=True)
class _Asked:
    """What applies to the target of what the user asks for.

    Attributes:
        requirements: As the resolver takes them, those with extras last.
        order: The place of each identifier that the user named.
        constraints: The versions that constraints admit.
        linked: The constraints that name a path or URL.
        projects: The projects that the user named.
    """

    requirements: Sequence[AnyRequirement]
    order: Mapping[str, int]
    constraints: Mapping[NormalizedName, SpecifierSet]
    linked: Mapping[NormalizedName, Sequence[UserRequirement]]
    projects: Collection[NormalizedName]

    def names(self, identifier: str) -> bool:
        """Whether the user named it, as it is or without its extras."""
        return identifier in self.order or project_of(identifier) in self.order


def _is_meant(one: UserRequirement, markers: MarkerRules) -> bool:
    """Whether a requirement's marker holds; it is said when not."""
    if markers.apply(one.marker):
        return True
    _log.info(
        "Ignoring %s: markers '%s' don't match your environment",
        one.requirement.name if one.requirement else one.text,
        one.marker,
    )
    return False


def _collect(
    wanted: Sequence[UserRequirement], limits: Sequence[UserRequirement], finder: CandidateFinder
) -> _Asked:
    constraints: dict[NormalizedName, SpecifierSet] = {}
    linked: dict[NormalizedName, list[UserRequirement]] = {}
    for one in limits:
        project = one.project
        if project is None or one.requirement is None:
            continue
        known = constraints.get(project, SpecifierSet())
        constraints[project] = known & one.requirement.specifier
        if one.link is not None:
            linked.setdefault(project, []).append(one)
    order: dict[str, int] = {}
    requirements: list[AnyRequirement] = []
    for at, one in enumerate(wanted):
        made = _requirements_of(one, finder)
        order.setdefault(made[0].identifier, at)
        requirements += made
    # Those with extras last: what is asked of the projects themselves then limits these first.
    requirements.sort(key=lambda one: one.identifier != one.project)
    projects = {one.project for one in requirements}
    return _Asked(requirements, order, constraints, linked, projects)


def _requirements_of(one: UserRequirement, finder: CandidateFinder) -> Sequence[AnyRequirement]:
    """What the user asks for, as the resolver takes it.

    Raises:
        RequirementError: A path or URL cannot be used.
    """
    if one.link is None and one.requirement is not None:
        return requirements_from(one.requirement, one.source, by_user=True)
    try:
        candidate = finder.direct_candidate(one)
    except InvalidMetadataError as error:
        _log.info("Discarding %s: %s", one.text, error)
        wanted = f"{one.project} (unavailable)"
        raise RequirementError(
            f"Could not find a version that satisfies the requirement {wanted} (from versions: "
            f"none)\nERROR: No matching distribution found for {wanted}"
        ) from None
    return direct_requirements(candidate, one.extras, finder)


def _plan(
    result: Result[AnyRequirement, Candidate, str],
    asked: _Asked,
    environment: TargetEnvironment,
    finder: CandidateFinder,
    options: ResolveOptions,
) -> Plan:
    chosen = {
        candidate.project: candidate
        for candidate in result.mapping.values()
        if isinstance(candidate, FileCandidate)
        and not _is_there(candidate, environment, options)
        and not (options.only_deps and candidate.project in asked.projects)
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
                file=chosen[project].file,
                requested=project in asked.projects,
                extras=extras.get(project, frozenset()),
                required_by=required_by.get(project, ()),
                core_metadata=chosen[project].raw_metadata,
                is_direct=chosen[project].link is not None,
                config_settings=chosen[project].config_settings,
                beats_signed=_beaten(chosen[project], finder),
                written=_written_name(chosen[project]),
            )
            for project in installation_order(result.graph, chosen)
        ),
        satisfied=tuple(_satisfied(one, required_by.get(one.project, ())) for one in kept),
        chosen=tuple(chosen),
    )


def _written_name(candidate: FileCandidate) -> str:
    found = re.match(r"[\w.-]+", candidate.asked_by.text)
    return found[0] if found else candidate.project


def _is_there(
    candidate: FileCandidate, environment: TargetEnvironment, options: ResolveOptions
) -> bool:
    """Whether that version is installed and need not be again: as in pip."""
    installed = environment.installed.get(candidate.project)
    if installed is None or options.ignore_installed or options.force_reinstall:
        return False
    file = candidate.file
    if installed.version != candidate.version or installed.editable:
        return False
    if isinstance(file, UserDirectory):
        return False
    if isinstance(file, UserFile) and file.url.startswith("file:"):
        if not file.filename.endswith(WHEEL_SUFFIX):
            return False
        _log.info(
            "%s is already installed with the same version as the provided wheel. "
            "Use --force-reinstall to force an installation of the wheel.",
            candidate.asked_by.text.partition("==")[0],
        )
    return True


def _beaten(candidate: FileCandidate, finder: CandidateFinder) -> Version | None:
    """The best signed version that a file of the user's was taken instead of, unasked.

    Also of a project that the user named: the place of files may stand in pip's configuration,
    and be the last thing on their mind.
    """
    if candidate.link is not None or isinstance(candidate.file, PageFile):
        return None
    signed = (
        one.version
        for one in finder.offers(candidate.project).files
        if isinstance(one.file, PageFile) and one.file.yanked is None
    )
    return next(signed, None)


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


def _warn_if_yanked(candidate: FileCandidate) -> None:
    file = candidate.file
    if not isinstance(file, UserDirectory) and file.yanked is not None:
        _log.warning(
            "The candidate selected for download or install is a yanked version: %r candidate "
            "(version %s at %s)\nReason for being yanked: %s",
            candidate.project,
            candidate.version,
            file.url,
            file.yanked or "<none given>",
        )
