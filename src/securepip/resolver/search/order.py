"""The order in which distributions are installed: what is required before what requires it.

Rule: the order is pip's, ties and cycles included, so that a log reads alike. Names decide ties.
"""

from __future__ import annotations

from collections.abc import Collection

from packaging.utils import NormalizedName
from resolvelib.structs import DirectedGraph

# A densely connected cycle has exponentially many paths; after so many visits of one node its
# depth is taken as known. pip takes the same number.
_MAX_VISITS = 5


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
