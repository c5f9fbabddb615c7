"""Reads what a candidate requires in the target: dependencies whose markers apply, and its Python.

Rule: no signature covers a dependency on a URL, so nothing satisfies it. An exception is a URL that
one of the user's own distributions names: it counts as if the user had named it.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator
from dataclasses import replace

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import NormalizedName, canonicalize_name

from securepip.errors import RequirementError
from securepip.formats.page import PageFile
from securepip.resolver.candidates.catalogue import Catalogue
from securepip.resolver.candidates.direct import DirectFiles
from securepip.resolver.candidates.finder import CandidateFinder
from securepip.resolver.candidates.graph import (
    AnyRequirement,
    BaseCandidate,
    Candidate,
    ExactRequirement,
    ExtrasCandidate,
    FileCandidate,
    InstalledCandidate,
    PythonCandidate,
    PythonRequirement,
    SpecifierRequirement,
    UnsignedRequirement,
    chain_of,
    requirements_from,
)
from securepip.resolver.candidates.metadata import InvalidMetadataError
from securepip.resolver.candidates.ranking import specifier_set
from securepip.resolver.environment.markers import MarkerRules
from securepip.resolver.requirements.parse import parse_requirement

_log = logging.getLogger(__name__)


class Dependencies:
    """Reads what candidates require, in the order in which they state it.

    Args:
        finder: Makes candidates.
        catalogue: What is available, and installed.
        direct: Makes the candidates that paths and URLs name.
        markers: Evaluates markers in the target.
        python: The target interpreter.
        with_dependencies: False with ``--no-deps``.
        ignore_requires_python: ``--ignore-requires-python``.
        unsigned: Projects that nobody signs. Dependencies on these, and on URLs, are left out. None
            leaves out nothing.

    Attributes:
        left_out: The dependencies that were left out, by the candidate that has them.
        addresses: Whether a candidate depends on a URL that nobody signs.
    """

    def __init__(
        self,
        finder: CandidateFinder,
        catalogue: Catalogue,
        direct: DirectFiles,
        markers: MarkerRules,
        python: PythonCandidate,
        *,
        with_dependencies: bool,
        ignore_requires_python: bool,
        unsigned: Collection[NormalizedName] | None = None,
    ) -> None:
        self._finder = finder
        self._catalogue = catalogue
        self._direct_files = direct
        self._markers = markers
        self._python = python
        self._with_dependencies = with_dependencies
        self._ignore_requires_python = ignore_requires_python
        self._unsigned = unsigned
        self.left_out: dict[BaseCandidate, list[str]] = {}
        self.addresses = False

    def of(self, candidate: Candidate) -> Iterator[AnyRequirement]:
        """The requirements of a candidate in the target.

        Raises:
            ResolutionError: A marker cannot be evaluated, or an installed distribution has an
                invalid requirement.
        """
        if isinstance(candidate, PythonCandidate):
            return
        if isinstance(candidate, FileCandidate) and not self._ignore_requires_python:
            # First, so that a candidate for another Python is ruled out before its dependencies
            # are looked at.
            specifier = specifier_set(candidate.metadata.requires_python)
            if str(specifier):
                required = PythonRequirement(specifier)
                yield required
                if not required.is_satisfied_by(self._python):
                    return
        if isinstance(candidate, ExtrasCandidate):
            yield ExactRequirement(candidate.base)
        if self._with_dependencies:
            yield from self._written_dependencies(candidate)

    def _written_dependencies(
        self, candidate: BaseCandidate | ExtrasCandidate
    ) -> Iterator[AnyRequirement]:
        base = candidate.base if isinstance(candidate, ExtrasCandidate) else candidate
        extras = frozenset[NormalizedName]()
        if isinstance(candidate, ExtrasCandidate):
            for missing in sorted(candidate.extras - base.provided_extras):
                _log.warning(
                    "%s %s does not provide the extra '%s'", base.project, base.version, missing
                )
            extras = candidate.extras & base.provided_extras
        for written in base.requires(extras):
            if not self._markers.apply(written.marker, extras):
                continue
            for requirement in self._requirements(written, candidate):
                if self._is_left_out(requirement):
                    self.left_out.setdefault(base, []).append(str(written).partition(";")[0])
                else:
                    yield requirement

    def _is_left_out(self, requirement: AnyRequirement) -> bool:
        is_address = isinstance(requirement, UnsignedRequirement)
        self.addresses = self.addresses or is_address
        if self._unsigned is None:
            return False
        return is_address or requirement.project in self._unsigned

    def _requirements(
        self, written: Requirement, candidate: BaseCandidate | ExtrasCandidate
    ) -> Iterator[AnyRequirement]:
        chain = chain_of(candidate)
        if not written.url:
            yield from requirements_from(written, chain)
            return
        base = candidate.base if isinstance(candidate, ExtrasCandidate) else candidate
        if isinstance(base, FileCandidate) and not isinstance(base.file, PageFile):
            yield from self._direct(written, chain)
            return
        # Nobody signs a URL. If an installed distribution has the dependency, it was installed from
        # that URL. It stays, and is never replaced by something of the same name.
        project = canonicalize_name(written.name)
        installed = self._catalogue.installed_distribution(project)
        if installed is None or not isinstance(base, InstalledCandidate):
            yield UnsignedRequirement(project, str(written))
            return
        named = SpecifierRequirement(project, frozenset(), SpecifierSet(), str(written), chain)
        yield ExactRequirement(self._finder.installed_candidate(installed, named))

    def _direct(self, written: Requirement, chain: str) -> Iterator[AnyRequirement]:
        """The requirements for a dependency on a URL of one of the user's own distributions."""
        project = canonicalize_name(written.name)
        try:
            asked = replace(parse_requirement(str(written).partition(";")[0], chain), by_user=False)
            candidate = self._direct_files.candidate(asked)
        except (RequirementError, InvalidMetadataError) as error:
            _log.info("Discarding %s: %s", written, error)
            yield UnsignedRequirement(project, str(written))
            return
        yield from direct_requirements(candidate, asked.extras, self._finder)


def direct_requirements(
    candidate: FileCandidate, extras: frozenset[NormalizedName], finder: CandidateFinder
) -> list[AnyRequirement]:
    """The requirements for one particular candidate, and for it with extras."""
    required: list[AnyRequirement] = [ExactRequirement(candidate)]
    if extras:
        required.append(ExactRequirement(finder.with_extras(candidate, extras, candidate.asked_by)))
    return required
