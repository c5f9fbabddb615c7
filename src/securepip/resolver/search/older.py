"""Finds releases that were passed over because nobody signs something that they require.

Rule: nobody signs that a project is absent. An attacker who hides a project could make the resolver
choose an old release of what requires it, with flaws that newer releases fix. So a warning names
such a release. If the user named the project, it is an error, unless the user allows it.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from packaging.utils import NormalizedName
from packaging.version import Version
from resolvelib.resolvers.abstract import Result

from securepip.errors import ResolutionError
from securepip.resolver.candidates.graph import AnyRequirement, BaseCandidate, Candidate, project_of
from securepip.resolver.search.asked import Asked

_log = logging.getLogger(__name__)

Solution = Result[AnyRequirement, Candidate, str]


@dataclass(frozen=True)
class PassedOver:
    """A release that is not installed because nobody signs something that it requires.

    Attributes:
        project: The normalized name.
        version: The release.
        taken: The older release that is installed instead.
        missing: What nobody signs, and what requires it: ``lib>=2 (required by app 2.0)``.
    """

    project: NormalizedName
    version: Version
    taken: Version
    missing: Sequence[str]

    def __str__(self) -> str:
        return (
            f"{self.project} {self.version} cannot be installed: no trusted repository has signed "
            f"{', '.join(self.missing)}."
        )


def passed_over(
    found: Solution, wished: Solution, left_out: Mapping[BaseCandidate, Sequence[str]]
) -> list[PassedOver]:
    """The releases that were passed over.

    Args:
        found: The solution.
        wished: The solution without dependencies on what nobody signs.
        left_out: The dependencies that were left out for ``wished``, by what requires them.
    """
    over = []
    for identifier, wish in wished.mapping.items():
        taken = found.mapping.get(identifier)
        if identifier != wish.project or taken is None or taken.version >= wish.version:
            continue
        needed = _needed_by(identifier, wished)
        missing = tuple(
            f"{text} (required by {one.project} {one.version})"
            for one, texts in left_out.items()
            if one.project in needed and wished.mapping.get(one.project) is one
            for text in texts
        )
        if missing:
            over.append(PassedOver(wish.project, wish.version, taken.version, missing))
    return over


def warn(over: Sequence[PassedOver], asked: Asked, *, allowed: bool) -> None:
    """Warn of the releases that were passed over.

    Args:
        over: The releases.
        asked: What the user asks for.
        allowed: Whether the user allows it also for projects that they name.

    Raises:
        ResolutionError: The user names the project of one, and does not allow it.
    """
    for one in over:
        if one.project in asked.projects and not allowed:
            raise ResolutionError(
                str(one),
                meaning=f"The newest release that could be installed is {one.project} {one.taken}. "
                "Perhaps nobody signs what is missing yet; perhaps somebody hides it, so that you "
                "install an older release.",
                remedy="Ask the operator of the repository to add it (securepip repo sync DIR "
                f"NAME), ask for that release ({one.project}=={one.taken}), or take older "
                "releases where newer ones lack something: --allow-older-releases",
            )
        _log.warning("%s Using %s %s instead.", one, one.project, one.taken)


def _needed_by(identifier: str, solution: Solution) -> set[NormalizedName]:
    """A project and all its dependencies, direct and indirect."""
    seen: set[str | None] = set()

    def walk(key: str | None) -> Iterator[NormalizedName]:
        waiting = [key]
        while waiting:
            here = waiting.pop()
            if here in seen or here is None:
                continue
            seen.add(here)
            yield project_of(here)
            waiting += solution.graph.iter_children(here)

    of_extras = [key for key in solution.mapping if project_of(key) == identifier]
    return {project for key in of_extras for project in walk(key)}
