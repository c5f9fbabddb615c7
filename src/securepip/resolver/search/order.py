"""Two orders: in which projects are decided, and in which distributions are installed.

Rule: both are pip's, ties and cycles included, so that the same is found and a log reads alike.
Names decide ties.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping
from typing import TYPE_CHECKING

from packaging.utils import NormalizedName

from securepip.resolver.candidates.graph import (
    AnyRequirement,
    ExactRequirement,
    SpecifierRequirement,
    is_pin,
)

if TYPE_CHECKING:
    from resolvelib.structs import DirectedGraph

Preference = tuple[bool | float | str, ...]

# A densely connected cycle has exponentially many paths; after so many visits of one node its
# depth is taken as known. pip takes the same number.
_MAX_VISITS = 5


def preference(
    identifier: str, requirements: Iterable[AnyRequirement], requested: Mapping[str, int]
) -> Preference:
    """Of several undecided projects the one with the smallest is decided: it has fewest choices.

    Args:
        identifier: The project, perhaps with extras.
        requirements: What is asked of it.
        requested: The identifiers that the user named, with their order.
    """
    exact = False
    operators: list[str] = []
    for requirement in requirements:
        exact = exact or isinstance(requirement, ExactRequirement)
        if isinstance(requirement, SpecifierRequirement):
            operators += map(_operator, map(str, requirement.specifier))
    return (
        not exact,
        "==" not in operators,
        not any(operator in ("<", "<=", "~=", "==*") for operator in operators),
        requested.get(identifier, math.inf),
        not operators,
        identifier,
    )


def _operator(specifier: str) -> str:
    """The operator of one specifier; exact ones are ``==``, those with a wildcard ``==*``."""
    if specifier.startswith("=="):
        return "==" if is_pin([specifier]) else "==*"
    return specifier[:2] if specifier[1] in "=" else specifier[:1]


def installation_order(
    graph: DirectedGraph[str | None], projects: Collection[NormalizedName]
) -> list[NormalizedName]:
    """The projects, dependencies first; cycles are cut somewhere.

    Args:
        graph: What requires what, as resolvelib returns it. It is consumed.
        projects: Those that are to be installed.
    """
    weights = _weigh_leaves(graph, projects)
    weights.update(_weigh_cycles(graph, projects))
    return sorted(projects, key=lambda project: (weights[project], project), reverse=True)


def _weigh_leaves(
    graph: DirectedGraph[str | None], projects: Collection[str]
) -> dict[str | None, int]:
    """Take away what requires nothing, again and again; the earlier, the heavier."""
    weights: dict[str | None, int] = {}
    while leaves := [key for key in graph if key is not None and not _has_children(graph, key)]:
        weight = len(graph) - 1
        weights.update((leaf, weight) for leaf in leaves if leaf in projects)
        for leaf in leaves:
            graph.remove(leaf)
    return weights


def _has_children(graph: DirectedGraph[str | None], key: str) -> bool:
    return next(iter(graph.iter_children(key)), None) is not None


def _weigh_cycles(
    graph: DirectedGraph[str | None], projects: Collection[str]
) -> dict[str | None, int]:
    """Of what is left, all of it in or above a cycle: the longest path from the root."""
    depths: dict[str | None, list[int]] = {}
    path: set[str | None] = set()

    def visit(key: str | None) -> None:
        if key in path or len(depths.get(key, ())) >= _MAX_VISITS:
            return
        path.add(key)
        for child in graph.iter_children(key):
            visit(child)
        path.remove(key)
        if key in projects:
            depths.setdefault(key, []).append(len(path))

    visit(None)
    return {key: max(found) for key, found in depths.items()}
