"""What is available for each project: on its signed page, in the user's own places, and installed.

Rule: the index is asked for a project only when it is needed, and only once.
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
    """What is available in one resolution.

    Args:
        environment: The target.
        index: The verified index.
        ranking: Decides which files fit the target, and ranks them.
        hashes: The hashes that the user gave.
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
        """Whether a trusted repository, or one of the user's places, has the project at all."""
        return self._offers_of(project) is not None

    def offers(self, project: NormalizedName) -> Offers:
        """The project's files that fit the target; none if nobody knows the project."""
        return self._offers_of(project) or Offers()

    def matching(self, project: NormalizedName, specifier: SpecifierSet) -> Sequence[OfferedFile]:
        """The project's files that fit the target, the specifier and the hashes, best first."""
        return self.offers(project).matching(
            specifier, prereleases=self.prereleases(project), hashes=self._hashes.allowed(project)
        )

    def speakers_for(self, project: NormalizedName) -> tuple[Speaker, ...]:
        """As ``Index.speakers_for``."""
        return self._index.speakers_for(project)

    def as_signed(self, project: NormalizedName, file: AnyFile) -> AnyFile:
        """A chosen file, with the sha256 that was not known when its page was first read."""
        if not isinstance(file, PageFile) or file.sha256 != NOT_KNOWN_YET:
            return file
        page = self._index.page(project)
        return (page.file(file.filename) if page else None) or file

    def prereleases(self, project: NormalizedName) -> bool | None:
        """Whether to admit pre-releases of the project; None means by the rules of PEP 440."""
        asked = self._options.releases.prereleases(project)
        return (self._options.prereleases or None) if asked is None else asked

    def installed_distribution(self, project: NormalizedName) -> InstalledDistribution | None:
        """The installed distribution of the project; None if there is none, or it may not stay."""
        if self._options.ignore_installed or self._options.force_reinstall:
            return None
        return self._environment.installed.get(project)

    def announce_pages(self, projects: Iterable[NormalizedName]) -> None:
        """Let the index begin to fetch pages that will be needed."""
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
