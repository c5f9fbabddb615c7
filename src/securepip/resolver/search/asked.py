"""Converts what the user asks for into requirements of the resolver.

Rule: they keep the user's order. ``Offered`` has left out what does not apply to the target.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from packaging.specifiers import SpecifierSet
from packaging.utils import NormalizedName

from securepip.errors import RequirementError
from securepip.resolver.candidates.direct import DirectFiles
from securepip.resolver.candidates.finder import CandidateFinder
from securepip.resolver.candidates.graph import AnyRequirement, project_of, requirements_from
from securepip.resolver.candidates.metadata import InvalidMetadataError
from securepip.resolver.requirements.types import UserRequirement
from securepip.resolver.search.dependencies import direct_requirements

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Asked:
    """The user's requirements and constraints that apply to the target.

    Attributes:
        requirements: The resolver's requirements, those with extras last.
        order: The position of each identifier that the user named.
        constraints: For each project the versions that constraints admit.
        linked: For each project the constraints that name a path or URL.
        projects: The projects that the user named.
    """

    requirements: Sequence[AnyRequirement]
    order: Mapping[str, int]
    constraints: Mapping[NormalizedName, SpecifierSet]
    linked: Mapping[NormalizedName, Sequence[UserRequirement]]
    projects: Collection[NormalizedName]

    def names(self, identifier: str) -> bool:
        """Whether the user named an identifier, with or without its extras."""
        return identifier in self.order or project_of(identifier) in self.order


def collect(
    wanted: Sequence[UserRequirement],
    limits: Sequence[UserRequirement],
    finder: CandidateFinder,
    direct: DirectFiles,
) -> Asked:
    """Collect what the user asks for.

    Args:
        wanted: The requirements that apply to the target.
        limits: The constraints that apply to the target.
        finder: Makes candidates.
        direct: Makes the candidates that paths and URLs name.

    Raises:
        RequirementError: A path or URL cannot be used.
    """
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
        made = _requirements_of(one, finder, direct)
        order.setdefault(made[0].identifier, at)
        requirements += made
    # Those with extras last, so that requirements of the projects themselves limit them first.
    requirements.sort(key=lambda one: one.identifier != one.project)
    projects = {one.project for one in requirements}
    return Asked(requirements, order, constraints, linked, projects)


def _requirements_of(
    one: UserRequirement, finder: CandidateFinder, direct: DirectFiles
) -> Sequence[AnyRequirement]:
    """The resolver's requirements for one of the user's.

    Raises:
        RequirementError: A path or URL cannot be used.
    """
    if one.link is None and one.requirement is not None:
        return requirements_from(one.requirement, one.source, by_user=True)
    try:
        candidate = direct.candidate(one)
    except InvalidMetadataError as error:
        _log.info("Discarding %s: %s", one.text, error)
        wanted = f"{one.project} (unavailable)"
        raise RequirementError(
            f"Could not find a version that satisfies the requirement {wanted} (from versions: "
            f"none)\nERROR: No matching distribution found for {wanted}"
        ) from None
    return direct_requirements(candidate, one.extras, finder)
