"""Fetches pages and metadata ahead of resolvelib, one level of the dependency tree at a time.

Rule: this module only begins downloads that the resolver will probably need; it decides nothing.
resolvelib decides one project at a time, so each page and each metadata file would cost a round
trip. Here a whole level of the tree costs two round trips: its pages, then its metadata.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import NormalizedName

from securepip.errors import SecurepipError
from securepip.formats.distribution import Kind
from securepip.resolver.candidates.catalogue import Catalogue
from securepip.resolver.candidates.graph import (
    AnyRequirement,
    SpecifierRequirement,
    requirements_from,
)
from securepip.resolver.candidates.metadata import InvalidMetadataError, MetadataReader, is_cheap
from securepip.resolver.candidates.ranking import OfferedFile
from securepip.resolver.environment.markers import MarkerRules
from securepip.resolver.environment.target import InstalledDistribution

# How many candidates of a project are looked at ahead. A later level may rule out the first; if it
# rules out more, there probably is a conflict, and the resolver has to search.
_GUESSES = 3


class LookAhead:
    """Begins to fetch what will probably be needed next.

    Args:
        catalogue: What is available and installed; begins to fetch pages.
        metadata: Begins to fetch metadata, and reads it.
        markers: Evaluates the markers of dependencies.
        constraints: The versions that constraints admit.
        prefers_installed: Whether the installed distribution of an identifier is kept.
        with_dependencies: False with ``--no-deps``.
    """

    def __init__(
        self,
        catalogue: Catalogue,
        metadata: MetadataReader,
        markers: MarkerRules,
        constraints: Mapping[NormalizedName, SpecifierSet],
        prefers_installed: Callable[[str], bool],
        *,
        with_dependencies: bool,
    ) -> None:
        self._catalogue = catalogue
        self._metadata = metadata
        self._markers = markers
        self._constraints = constraints
        self._prefers_installed = prefers_installed
        self._with_dependencies = with_dependencies
        self._known: dict[NormalizedName, _Known] = {}
        self._walked: set[tuple[NormalizedName, str, int]] = set()

    def __call__(self, requirements: Sequence[AnyRequirement]) -> None:
        """Begin to fetch what these requirements, and their dependencies, will need."""
        level = self._note(requirements)
        while level:
            level = self._note(self._walk(level))

    def _note(self, requirements: Iterable[AnyRequirement]) -> list[NormalizedName]:
        """Record requirements, and return the projects with new ones."""
        changed: dict[NormalizedName, None] = {}
        for one in requirements:
            if not isinstance(one, SpecifierRequirement):
                continue
            known = self._known.setdefault(one.project, _Known(one))
            if known.add(one):
                changed[one.project] = None
        return list(changed)

    def _walk(self, level: Sequence[NormalizedName]) -> list[AnyRequirement]:
        kept = {project: self._installed(project) for project in level}
        missing = [project for project in level if kept[project] is None]
        self._catalogue.announce_pages(missing)
        guesses = {project: self._guess(project) for project in missing}
        for project, guess in guesses.items():
            if guess is not None:
                self._metadata.announce(project, [guess])
        found: list[AnyRequirement] = []
        for project in level:
            found += self._dependencies(project, kept[project], guesses.get(project))
        return found

    def _installed(self, project: NormalizedName) -> InstalledDistribution | None:
        """The installed distribution of a project, if it will probably be kept."""
        known = self._known[project]
        installed = self._catalogue.installed_distribution(project)
        if installed is None or not self._prefers_installed(known.first.identifier):
            return None
        specifier = self._constrained(project, known.specifier)
        with suppress(SecurepipError):
            if specifier.contains(installed.version, prereleases=True):
                return installed
        return None

    def _guess(self, project: NormalizedName) -> OfferedFile | None:
        """The file that will probably be chosen, if its metadata takes no large download."""
        known = self._known[project]
        with suppress(SecurepipError):
            for specifier in (known.specifier, known.latest.specifier):
                files = self._catalogue.matching(project, self._constrained(project, specifier))
                if files:
                    known.specifier = specifier
                    known.guesses.add(files[0].file.filename)
                    useful = files[0].kind is Kind.WHEEL and is_cheap(files[0])
                    return files[0] if useful else None
        return None

    def _dependencies(
        self,
        project: NormalizedName,
        installed: InstalledDistribution | None,
        guess: OfferedFile | None,
    ) -> list[AnyRequirement]:
        extras = self._known[project].extras
        source = "" if guess is None else guess.file.filename
        if not self._with_dependencies or (project, source, len(extras)) in self._walked:
            return []
        self._walked.add((project, source, len(extras)))
        written: Sequence[Requirement] = ()
        with suppress(SecurepipError, InvalidMetadataError):
            if installed is not None:
                written = installed.requires(extras)
            elif guess is not None:
                written = self._metadata.read(project, guess)[1].requires_dist
            return [
                requirement
                for one in written
                if not one.url
                and (self._markers.apply(one.marker) or self._markers.apply(one.marker, extras))
                for requirement in requirements_from(one, "")
            ]
        return []

    def _constrained(self, project: NormalizedName, specifier: SpecifierSet) -> SpecifierSet:
        return self._constraints.get(project, SpecifierSet()) & specifier


class _Known:
    """The requirements for one project so far."""

    def __init__(self, first: SpecifierRequirement) -> None:
        self.first = self.latest = first
        self.specifier = SpecifierSet()
        self.extras: set[NormalizedName] = set()
        self.guesses: set[str] = set()
        self._seen: set[str] = set()

    def add(self, asked: SpecifierRequirement) -> bool:
        """Record a requirement.

        Returns:
            Whether it is new, and the project has not been guessed too often.
        """
        if asked.text in self._seen or len(self.guesses) >= _GUESSES:
            return False
        self._seen.add(asked.text)
        self.latest = asked
        self.specifier &= asked.specifier
        self.extras |= asked.extras
        return True
