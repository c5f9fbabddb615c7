"""Implements resolvelib's provider as pip does, so that the same solution is found.

Rule: three orders decide *which* of several solutions is found: the order in which projects are
decided, in which a project's candidates are tried, and in which dependencies are listed. All three
are pip's.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from resolvelib import AbstractProvider
from resolvelib.structs import RequirementInformation

from securepip.resolver.candidates.graph import (
    PYTHON,
    AnyRequirement,
    Candidate,
)
from securepip.resolver.search.dependencies import Dependencies
from securepip.resolver.search.matches import Matches
from securepip.resolver.search.order import preference

if TYPE_CHECKING:
    from resolvelib.providers import Preference

# A project that has caused so many conflicts before it was decided is decided before others.
_CONFLICTS_TO_PROMOTE = 5

Information = RequirementInformation[AnyRequirement, Candidate]


class Provider(AbstractProvider[AnyRequirement, Candidate, str]):
    """resolvelib's view of the projects, their candidates and what these require.

    Args:
        matches: Finds the candidates of a project.
        dependencies: Reads what candidates require.
        requested: The identifiers that the user named, with their order.
        look_ahead: Called with requirements as soon as they are known, to fetch in parallel what
            they need.
    """

    def __init__(
        self,
        matches: Matches,
        dependencies: Dependencies,
        requested: Mapping[str, int],
        look_ahead: Callable[[Sequence[AnyRequirement]], None],
    ) -> None:
        self._matches = matches
        self._read = dependencies
        self._requested = requested
        self._look_ahead = look_ahead
        self._dependencies: dict[Candidate, Sequence[AnyRequirement]] = {}
        self._conflicts: Counter[str] = Counter()

    def identify(self, requirement_or_candidate: AnyRequirement | Candidate) -> str:
        """The project with its extras; the interpreter has an identifier of its own."""
        return requirement_or_candidate.identifier

    def is_satisfied_by(self, requirement: AnyRequirement, candidate: Candidate) -> bool:
        """Whether the candidate satisfies the requirement."""
        return self._matches.satisfies(requirement, candidate)

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
        """The sort key of a project: the smallest, with the fewest choices, is decided first."""
        asked = (requirement for requirement, _ in information[identifier])
        return (
            not self._is_promoted(identifier),
            *preference(identifier, asked, self._requested),
        )

    def find_matches(
        self,
        identifier: str,
        requirements: Mapping[str, Iterator[AnyRequirement]],
        incompatibilities: Mapping[str, Iterator[Candidate]],
    ) -> Sequence[Candidate] | Callable[[], Iterator[Candidate]]:
        """As ``Matches.find``."""
        excluded = set(incompatibilities.get(identifier, ()))
        return self._matches.find(identifier, requirements, excluded)

    def get_dependencies(self, candidate: Candidate) -> Sequence[AnyRequirement]:
        """As ``Dependencies.of``, read once."""
        if candidate not in self._dependencies:
            self._dependencies[candidate] = dependencies = list(self._read.of(candidate))
            self._look_ahead(dependencies)
        return self._dependencies[candidate]

    def _is_promoted(self, identifier: str) -> bool:
        return self._conflicts[identifier] >= _CONFLICTS_TO_PROMOTE
