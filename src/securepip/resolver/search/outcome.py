"""Makes the plan of a solution: what is installed, in which order, and why."""

from __future__ import annotations

import logging
import re

from packaging.utils import NormalizedName
from packaging.version import Version
from resolvelib.resolvers.abstract import Result

from securepip.formats.distribution import WHEEL_SUFFIX
from securepip.formats.page import PageFile
from securepip.index.types import UserDirectory, UserFile
from securepip.resolver.candidates.catalogue import Catalogue
from securepip.resolver.candidates.finder import CandidateFinder
from securepip.resolver.candidates.graph import (
    AnyRequirement,
    Candidate,
    ExtrasCandidate,
    FileCandidate,
    InstalledCandidate,
    project_of,
)
from securepip.resolver.environment.target import TargetEnvironment
from securepip.resolver.options import ResolveOptions
from securepip.resolver.plan import Plan, PlannedFile, SatisfiedRequirement
from securepip.resolver.search.asked import Asked
from securepip.resolver.search.order import installation_order

_log = logging.getLogger(__name__)


def make_plan(
    result: Result[AnyRequirement, Candidate, str],
    asked: Asked,
    environment: TargetEnvironment,
    finder: CandidateFinder,
    catalogue: Catalogue,
    options: ResolveOptions,
) -> Plan:
    """The plan for a solution, without what is installed already.

    Args:
        result: The solution.
        asked: What the user asks for.
        environment: The target.
        finder: Made the candidates.
        catalogue: What was available.
        options: How to choose.
    """
    chosen = {
        candidate.project: candidate
        for candidate in result.mapping.values()
        if isinstance(candidate, FileCandidate)
        and not _is_installed(candidate, environment, options)
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
                file=catalogue.as_signed(project, chosen[project].file),
                requested=project in asked.projects,
                extras=extras.get(project, frozenset()),
                required_by=required_by.get(project, ()),
                core_metadata=chosen[project].raw_metadata,
                is_direct=chosen[project].link is not None,
                config_settings=chosen[project].config_settings,
                beats_signed=_beaten(chosen[project], catalogue),
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


def _is_installed(
    candidate: FileCandidate, environment: TargetEnvironment, options: ResolveOptions
) -> bool:
    """Whether, by pip's rules, that version is installed and need not be installed again."""
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


def _beaten(candidate: FileCandidate, catalogue: Catalogue) -> Version | None:
    """The best signed version, if a file in one of the user's places was chosen over it.

    Also for a project that the user named, because the place may be in pip's configuration, and the
    user may not think of it.
    """
    if candidate.link is not None or isinstance(candidate.file, PageFile):
        return None
    signed = (
        one.version
        for one in catalogue.offers(candidate.project).files
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
