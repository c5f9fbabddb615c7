"""Releases that were passed over because something that they require is signed by nobody.

Rule: nobody signs an absence. Whoever hides a project can so lead to an old release of what
requires it, with the flaws that newer ones mend. So it is said; and what the user named is an
error, unless they allow it.
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
    """A release that is not installed for want of something that nobody signs.

    Attributes:
        project: The normalized name.
        version: The release.
        taken: The older one that is installed instead.
        missing: What nobody signs, with who requires it: ``lib>=2 (required by app 2.0)``.
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
    """The releases of which older ones were taken.

    Args:
        found: The solution.
        wished: What the solution would be if nothing were required that nobody signs.
        left_out: What was left out for that, by who requires it.
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


def tell(over: Sequence[PassedOver], asked: Asked, *, allowed: bool) -> None:
    """Say which releases were passed over.

    Args:
        over: The releases.
        asked: What the user asks for.
        allowed: Whether the user allows it for what they name, too.

    Raises:
        ResolutionError: One is of a project that the user names, and they do not allow it.
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
    """The projects that something leads to, itself included."""
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
