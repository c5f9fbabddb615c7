"""Finds requirements of installed distributions that a plan breaks. As in pip, they only warn.

Source: pip's ``operations/check.py``, and the words of its ``install``.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

from packaging.requirements import Requirement
from packaging.utils import NormalizedName, canonicalize_name
from packaging.version import Version

from securepip.errors import ResolutionError
from securepip.formats.core_metadata import parse_core_metadata
from securepip.resolver.environment.markers import MarkerRules
from securepip.resolver.environment.target import TargetEnvironment
from securepip.resolver.plan import Plan

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Distribution:
    version: Version
    requires: Sequence[Requirement]


def broken_requirements(plan: Plan, environment: TargetEnvironment) -> list[str]:
    """The requirements that are not satisfied after the plan, a sentence for each.

    Only distributions that the plan installs, and those that require one of them, are checked.

    Args:
        plan: What will be installed.
        environment: The target, as it is before that.
    """
    markers = MarkerRules(environment)
    distributions = _installed(environment)
    new = {
        one.project: _Distribution(
            one.version, parse_core_metadata(one.core_metadata).requires_dist
        )
        for one in plan.install
    }
    distributions.update(new)
    missing: list[str] = []
    conflicting: list[str] = []
    for project, distribution in distributions.items():
        meant = [one for one in distribution.requires if markers.apply(one.marker)]
        required = {canonicalize_name(one.name) for one in meant}
        if project not in new and not required & new.keys():
            continue
        for one in sorted(meant, key=str):
            found = distributions.get(canonicalize_name(one.name))
            who = f"{project} {distribution.version} requires {one}"
            if found is None:
                missing.append(f"{who}, which is not installed.")
            elif not one.specifier.contains(found.version, prereleases=True):
                what = f"{canonicalize_name(one.name)} {found.version}"
                conflicting.append(f"{who}, but you have {what} which is incompatible.")
    return [*missing, *conflicting]


def _installed(environment: TargetEnvironment) -> dict[NormalizedName, _Distribution]:
    found = {}
    for project, installed in environment.installed.items():
        try:
            found[project] = _Distribution(installed.version, installed.requires_dist)
        except ResolutionError as error:
            _log.warning("Error parsing dependencies of %s: %s", project, error.what)
    return found
