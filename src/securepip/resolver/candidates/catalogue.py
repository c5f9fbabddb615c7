"""What there is of each project: its signed page, the user's own places, what is installed.

Rule: nothing is asked of the index before it is needed, and each project is asked for once.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from packaging.specifiers import SpecifierSet
from packaging.utils import NormalizedName

from securepip.formats.digests import NOT_KNOWN_YET
from securepip.formats.page import PageFile
from securepip.index.types import AnyFile, Index, Speaker
from securepip.resolver.candidates.hashes import HashRules
from securepip.resolver.candidates.places import FindLinks, OwnIndexes
from securepip.resolver.candidates.ranking import FileRanking, OfferedFile, Offers
from securepip.resolver.environment.target import InstalledDistribution, TargetEnvironment
from securepip.resolver.options import ResolveOptions


class Catalogue:
    """What is on offer in one resolution.

    Args:
        environment: The target.
        index: The verified index.
        ranking: Says what fits the target, and how well.
        hashes: What the user demands of files.
        options: How to choose.
    """

    def __init__(
        self,
        environment: TargetEnvironment,
        index: Index,
        ranking: FileRanking,
        hashes: HashRules,
        options: ResolveOptions,
    ) -> None:
        self._environment = environment
        self._index = index
        self._ranking = ranking
        self._hashes = hashes
        self._options = options
        self._places = (
            FindLinks(options.find_links),
            FindLinks(options.locked_files, "a lock file,"),
            OwnIndexes(options.own_indexes),
        )
        self._offers: dict[NormalizedName, Offers | None] = {}

    @property
    def asks_index(self) -> bool:
        """Whether the verified index is asked."""
        return not self._options.no_index

    def knows(self, project: NormalizedName) -> bool:
        """Whether a trusted repository, or a place of the user's, has the project at all."""
        return self._offers_of(project) is not None

    def offers(self, project: NormalizedName) -> Offers:
        """The project's files that fit the target; none when no repository knows the project."""
        return self._offers_of(project) or Offers()

    def matching(self, project: NormalizedName, specifier: SpecifierSet) -> Sequence[OfferedFile]:
        """The project's files that may be installed in a version that is asked for, best first."""
        return self.offers(project).matching(
            specifier, prereleases=self.prereleases(project), hashes=self._hashes.allowed(project)
        )

    def speakers_for(self, project: NormalizedName) -> tuple[Speaker, ...]:
        """The repositories that are asked for the project."""
        return self._index.speakers_for(project)

    def as_signed(self, project: NormalizedName, file: AnyFile) -> AnyFile:
        """A chosen file with the sha256 that its page tells by now, where it did not tell one."""
        if not isinstance(file, PageFile) or file.sha256 != NOT_KNOWN_YET:
            return file
        page = self._index.page(project)
        return (page.file(file.filename) if page else None) or file

    def prereleases(self, project: NormalizedName) -> bool | None:
        """Whether the user wants pre-releases of the project, or not; None as PEP 440 says."""
        asked = self._options.releases.prereleases(project)
        return (self._options.prereleases or None) if asked is None else asked

    def installed_distribution(self, project: NormalizedName) -> InstalledDistribution | None:
        """What is installed of the project, and may be kept."""
        if self._options.ignore_installed or self._options.force_reinstall:
            return None
        return self._environment.installed.get(project)

    def announce_pages(self, projects: Iterable[NormalizedName]) -> None:
        """Let the index fetch pages that will be needed."""
        unread = [project for project in projects if project not in self._offers]
        if unread and not self._options.no_index:
            self._index.prefetch_pages(unread)

    def _offers_of(self, project: NormalizedName) -> Offers | None:
        if project not in self._offers:
            page = None if self._options.no_index else self._index.page(project)
            local = [file for place in self._places for file in place.files(project)]
            known = page is not None or local
            self._offers[project] = self._ranking.offers(project, page, local) if known else None
        return self._offers[project]
