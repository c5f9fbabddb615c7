"""Finds out, without a search, that everything is installed already.

Rule: this module answers only if there is nothing to choose: everything that is asked for, and all
that it requires, is installed in a version that satisfies the requirements; and, for an upgrade, no
newer release of what the user names is signed. In all other cases the search decides. Projects are
looked at in the order of the search, so that the output is the same.
"""

from __future__ import annotations

from collections.abc import Callable

from packaging.specifiers import SpecifierSet
from packaging.utils import NormalizedName, canonicalize_name
from packaging.version import Version

from securepip.errors import ResolutionError
from securepip.resolver.candidates.graph import (
    ExactRequirement,
    ExtrasCandidate,
    InstalledCandidate,
    SpecifierRequirement,
    chain_of,
    requirements_from,
)
from securepip.resolver.environment.markers import MarkerRules
from securepip.resolver.environment.target import TargetEnvironment
from securepip.resolver.options import ResolveOptions
from securepip.resolver.plan import Plan, SatisfiedRequirement
from securepip.resolver.requirements.types import ResolveInput
from securepip.resolver.search.order import preference

Installed = InstalledCandidate | ExtrasCandidate
Requirement = SpecifierRequirement | ExactRequirement
IsNewest = Callable[[NormalizedName, SpecifierSet, Version], bool]
"""As ``Offered.is_newest``."""


def plan_of_nothing(
    given: ResolveInput,
    environment: TargetEnvironment,
    options: ResolveOptions,
    is_newest: IsNewest | None = None,
) -> Plan | None:
    """The plan that installs nothing, if nothing has to be installed.

    Args:
        given: What the user asks for.
        environment: The target.
        options: How to choose, with the options of requirements files.
        is_newest: For an upgrade, whether no newer release of a project that the user names is
            available. Without it, and for an upgrade of dependencies too, the search decides.

    Returns:
        None if the search has to decide.
    """
    if options.ignore_installed or options.force_reinstall:
        return None
    if options.upgrade and (is_newest is None or options.upgrade_strategy == "eager"):
        return None
    walk = _Walk(
        environment,
        is_newest if options.upgrade else None,
        with_dependencies=not options.no_deps,
    )
    try:
        return walk.plan(given)
    except (_UndecidedError, ResolutionError):
        return None


class _UndecidedError(Exception):
    """The search has to decide."""


class _Walk:
    """A walk through the user's requirements and all dependencies."""

    def __init__(
        self,
        environment: TargetEnvironment,
        is_newest: IsNewest | None,
        *,
        with_dependencies: bool,
    ) -> None:
        self._installed = environment.installed
        self._is_newest = is_newest
        self._markers = MarkerRules(environment)
        self._with_dependencies = with_dependencies
        self._constraints: dict[NormalizedName, SpecifierSet] = {}
        # In the order of the search.
        self._candidates: dict[NormalizedName, InstalledCandidate] = {}
        self._asked: dict[str, list[Requirement]] = {}
        self._met: dict[str, Installed] = {}
        self._parents: dict[NormalizedName, set[NormalizedName]] = {}
        self._order: dict[str, int] = {}

    def plan(self, given: ResolveInput) -> Plan:
        """The plan, in which everything is satisfied.

        Raises:
            _UndecidedError, ResolutionError: The search has to decide.
        """
        self._ask(given)
        order = self._order
        waiting = {name: preference(name, asked, order) for name, asked in self._asked.items()}
        while waiting:
            identifier = min(waiting, key=waiting.__getitem__)
            del waiting[identifier]
            candidate = self._met[identifier]
            for requirement in self._required_by(candidate):
                name = requirement.identifier
                is_new = name not in self._asked
                self._meet(requirement, candidate.project)
                if is_new or name in waiting:
                    waiting[name] = preference(name, self._asked[name], order)
        return Plan(satisfied=tuple(map(self._satisfied, self._candidates.values())))

    def _ask(self, given: ResolveInput) -> None:
        """Record the user's requirements, and the order of their identifiers."""
        for one in given.constraints:
            if one.link is not None or one.project is None or one.requirement is None:
                raise _UndecidedError
            if self._markers.apply(one.marker):
                known = self._constraints.get(one.project, SpecifierSet())
                self._constraints[one.project] = known & one.requirement.specifier
        asked: list[SpecifierRequirement] = []
        for at, user in enumerate(given.requirements):
            if (
                user.link is not None
                or user.requirement is None
                or not self._markers.apply(user.marker)
            ):
                raise _UndecidedError
            made = requirements_from(user.requirement, user.source, by_user=True)
            self._order.setdefault(made[0].identifier, at)
            asked += made
        for requirement in sorted(asked, key=lambda each: each.identifier != each.project):
            self._meet(requirement, None)

    def _meet(self, requirement: Requirement, parent: NormalizedName | None) -> None:
        project = requirement.project
        limit = self._constraints.get(project, SpecifierSet())
        if isinstance(requirement, SpecifierRequirement):
            limit &= requirement.specifier
        candidate = self._candidate_for(requirement)
        if not limit.contains(candidate.version, prereleases=True):
            raise _UndecidedError
        self._met.setdefault(requirement.identifier, candidate)
        self._asked.setdefault(requirement.identifier, []).append(requirement)
        parents = self._parents.setdefault(project, set())
        if parent is not None and parent != project:
            parents.add(parent)
        if self._is_newest and requirement.identifier in self._order:
            self._check_newest(candidate, self._is_newest)

    def _check_newest(self, candidate: Installed, is_newest: IsNewest) -> None:
        """Raise an error if the search would find a newer release at this point.

        The search looks for releases each time that it meets a requirement, with the requirements
        that are known by then, and logs what it finds. So it must be checked each time here too,
        although a later requirement may rule the newer release out.

        Raises:
            _UndecidedError: A newer release is available.
        """
        limit = self._constraints.get(candidate.project, SpecifierSet())
        for requirement in self._asked.get(candidate.project, ()):
            if isinstance(requirement, ExactRequirement):
                return  # the candidate with extras was checked before
            limit &= requirement.specifier
        if not is_newest(candidate.project, limit, candidate.version):
            raise _UndecidedError

    def _candidate_for(self, requirement: Requirement) -> Installed:
        if isinstance(requirement, ExactRequirement):
            return self._candidates[requirement.project]
        base = self._candidate(requirement)
        if not requirement.extras:
            return base
        return ExtrasCandidate(base, requirement.extras, requirement)

    def _candidate(self, asked_by: SpecifierRequirement) -> InstalledCandidate:
        project = asked_by.project
        if project not in self._candidates:
            installed = self._installed.get(project)
            if installed is None:
                raise _UndecidedError
            self._candidates[project] = InstalledCandidate(installed, asked_by)
        return self._candidates[project]

    def _required_by(self, candidate: Installed) -> list[Requirement]:
        """The requirements of a candidate in the target, as in ``Dependencies.of``."""
        required: list[Requirement] = []
        base = self._candidates[candidate.project]
        extras = frozenset[NormalizedName]()
        if isinstance(candidate, ExtrasCandidate):
            extras = candidate.extras
            if extras - base.provided_extras:
                raise _UndecidedError  # the search warns of it
            required.append(ExactRequirement(base))
        for written in base.requires(extras) if self._with_dependencies else ():
            if not self._markers.apply(written.marker, extras):
                continue
            chain = chain_of(candidate)
            if not written.url:
                required += requirements_from(written, chain)
                continue
            # It was installed from that URL, and stays.
            project = canonicalize_name(written.name)
            named = SpecifierRequirement(project, frozenset(), SpecifierSet(), str(written), chain)
            required.append(ExactRequirement(self._candidate(named)))
        return required

    def _satisfied(self, one: InstalledCandidate) -> SatisfiedRequirement:
        return SatisfiedRequirement(
            requirement=one.asked_by.unmarked,
            project=one.project,
            version=one.version,
            location=one.distribution.location,
            required_by=tuple(sorted(self._parents[one.project])),
            comes_from=one.asked_by.comes_from,
        )
