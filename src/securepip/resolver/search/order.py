"""Two orders: in which the resolver decides projects, and in which distributions are installed.

Rule: both are pip's, also for ties and cycles, so that the same solution is found and the logs are
alike. Ties are decided by name.
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

# A densely connected cycle has exponentially many paths, so each node is visited at most so often.
# The number is pip's.
_MAX_VISITS = 5


def preference(
    identifier: str, requirements: Iterable[AnyRequirement], requested: Mapping[str, int]
) -> Preference:
    """The sort key of an undecided project. The one with the smallest key is decided next.

    Args:
        identifier: The project, perhaps with extras.
        requirements: The requirements for it.
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
    """The operator of a specifier: ``==`` if it is a pin, ``==*`` if it has a wildcard."""
    if specifier.startswith("=="):
        return "==" if is_pin([specifier]) else "==*"
    return specifier[:2] if specifier[1] in "=" else specifier[:1]


def installation_order(
    graph: DirectedGraph[str | None], projects: Collection[NormalizedName]
) -> list[NormalizedName]:
    """The projects in the order to install them, dependencies first. Cycles are cut somewhere.

    Args:
        graph: resolvelib's graph of dependencies. It is emptied.
        projects: The projects that will be installed.
    """
    weights = _weigh_leaves(graph, projects)
    weights.update(_weigh_cycles(graph, projects))
    return sorted(projects, key=lambda project: (weights[project], project), reverse=True)


def _weigh_leaves(
    graph: DirectedGraph[str | None], projects: Collection[str]
) -> dict[str | None, int]:
    """Remove projects without dependencies, again and again. Those removed earlier weigh more."""
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
    """The weight of each remaining project, in or above a cycle: its longest path from the root."""
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
