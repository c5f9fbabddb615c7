"""The search: resolvelib over installed distributions, signed files and the user's own files.

Rule: the result is the one that pip would find with the same files, or an error that says why there
is none.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from packaging.utils import NormalizedName
from resolvelib import ResolutionImpossible, ResolutionTooDeep, Resolver

from securepip.index.types import Index
from securepip.resolver.candidates.direct import DirectFiles
from securepip.resolver.candidates.finder import CandidateFinder
from securepip.resolver.candidates.graph import PythonCandidate
from securepip.resolver.candidates.metadata import MetadataReader
from securepip.resolver.candidates.narration import Narrator
from securepip.resolver.candidates.offered import Offered
from securepip.resolver.environment.target import TargetEnvironment
from securepip.resolver.options import FetchDirect, ResolveOptions, SdistMetadata
from securepip.resolver.plan import Plan
from securepip.resolver.requirements.types import ResolveInput
from securepip.resolver.search.asked import collect
from securepip.resolver.search.dependencies import Dependencies
from securepip.resolver.search.explain import explain_conflict, explain_too_deep
from securepip.resolver.search.lookahead import LookAhead
from securepip.resolver.search.matches import Matches
from securepip.resolver.search.older import Solution, passed_over, warn
from securepip.resolver.search.outcome import make_plan
from securepip.resolver.search.provider import Provider
from securepip.resolver.search.reporter import make_reporter

_MAX_ROUNDS = 200_000


def solve(
    requirements: ResolveInput,
    environment: TargetEnvironment,
    index: Index,
    options: ResolveOptions,
    sdist_metadata: SdistMetadata | None = None,
    fetch_direct: FetchDirect | None = None,
    offered: Offered | None = None,
) -> Plan:
    """Search for a solution, and make its plan.

    Args:
        requirements: What the user asks for.
        environment: The target.
        index: The verified index.
        options: How to choose, with the options of requirements files.
        sdist_metadata: As for ``resolve``.
        fetch_direct: As for ``resolve``.
        offered: What is available, if it was looked at already.

    Raises:
        SecurepipError: As ``resolve``.
    """
    offered = offered or Offered(requirements, environment, index, options)
    markers, wanted, catalogue = offered.markers, offered.wanted, offered.catalogue
    narrator = Narrator()
    settings = {
        one.project: one.config_settings
        for one in wanted
        if one.project is not None and one.config_settings
    }
    metadata = MetadataReader(index, sdist_metadata, settings)
    finder = CandidateFinder(offered.hashes, metadata, narrator)
    direct = DirectFiles(
        offered.ranking, offered.hashes, metadata, fetch_direct, options.downloads, narrator
    )
    asked = collect(wanted, offered.limits, finder, direct)
    python = PythonCandidate(environment.version)

    def prefers_installed(identifier: str) -> bool:
        eager = options.upgrade_strategy == "eager"
        return not (options.upgrade and (eager or asked.names(identifier)))

    look_ahead = LookAhead(
        catalogue,
        metadata,
        markers,
        asked.constraints,
        prefers_installed,
        with_dependencies=not options.no_deps,
    )
    matches = Matches(
        finder, catalogue, direct, python, asked.constraints, asked.linked, prefers_installed
    )

    def search(unsigned: Collection[NormalizedName] | None = None) -> _Outcome:
        dependencies = Dependencies(
            finder,
            catalogue,
            direct,
            markers,
            python,
            with_dependencies=not options.no_deps,
            ignore_requires_python=options.ignore_requires_python,
            unsigned=unsigned,
        )
        provider = Provider(matches, dependencies, asked.order, look_ahead)
        resolver = Resolver(provider, make_reporter())
        try:
            solution = resolver.resolve(asked.requirements, max_rounds=_MAX_ROUNDS)
        except ResolutionImpossible as error:
            causes = list(error.causes)
            raise explain_conflict(causes, catalogue, asked.constraints, python) from None
        except ResolutionTooDeep as error:
            raise explain_too_deep(error.round_count) from None
        return _Outcome(solution, dependencies)

    look_ahead(asked.requirements)
    chosen = search()
    if catalogue.asks_index and (matches.unknown or chosen.dependencies.addresses):
        wished, unknown = chosen, -1
        while len(matches.unknown) > unknown:  # another release may need something else
            unknown = len(matches.unknown)
            wished = search(frozenset(matches.unknown))
        over = passed_over(chosen.solution, wished.solution, wished.dependencies.left_out)
        warn(over, asked, allowed=options.allow_older_releases)
    return make_plan(chosen.solution, asked, environment, finder, catalogue, options)


@dataclass(frozen=True)
class _Outcome:
    """A solution, and the reader of its candidates' dependencies."""

    solution: Solution
    dependencies: Dependencies
