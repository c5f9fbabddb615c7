"""Makes candidates: from what is installed, and from verified pages and metadata.

Rule: nothing is asked of the index before a candidate from it is really needed, each thing is
parsed once, and one file is one candidate for the whole resolution.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import islice

from packaging.specifiers import SpecifierSet
from packaging.utils import NormalizedName

from securepip.errors import FormatError, ResolutionError, VerificationError
from securepip.formats.core_metadata import CoreMetadata, parse_core_metadata
from securepip.formats.distribution import Kind
from securepip.index.types import Index
from securepip.resolver.candidates import FileRanking, OfferedFile, Offers
from securepip.resolver.environment import InstalledDistribution, TargetEnvironment
from securepip.resolver.graph import (
    BaseCandidate,
    ExtrasCandidate,
    IndexCandidate,
    InstalledCandidate,
    SpecifierRequirement,
)
from securepip.resolver.hashes import HashRules
from securepip.resolver.options import SdistMetadata

_MAX_AHEAD = 32


class InvalidMetadataError(Exception):
    """A candidate's metadata is of no use; the candidate is passed over with a warning."""


class CandidateFinder:
    """Finds and remembers the candidates of one resolution.

    Args:
        environment: The target.
        index: The verified index.
        hashes: What the user demands of files.
        prereleases: Whether ``--pre`` was given.
        sdist_metadata: Builds the metadata of source distributions that do not say it.
    """

    def __init__(
        self,
        environment: TargetEnvironment,
        index: Index,
        hashes: HashRules,
        *,
        prereleases: bool,
        sdist_metadata: SdistMetadata | None,
    ) -> None:
        self._environment = environment
        self._index = index
        self._hashes = hashes
        self._prereleases = prereleases
        self._sdist_metadata = sdist_metadata
        self._ranking = FileRanking(environment)
        self._offers: dict[NormalizedName, Offers | None] = {}
        self._metadata: dict[tuple[NormalizedName, str], tuple[bytes, CoreMetadata]] = {}
        self._announced: set[tuple[NormalizedName, str]] = set()
        self._ahead: dict[NormalizedName, int] = {}
        self._of_file: dict[tuple[NormalizedName, str], IndexCandidate] = {}
        self._of_installed: dict[NormalizedName, InstalledCandidate] = {}
        self._of_extras: dict[tuple[BaseCandidate, frozenset[NormalizedName]], ExtrasCandidate] = {}

    @property
    def installed(self) -> Iterable[InstalledCandidate]:
        """The installed distributions that were considered, in the order in which they were."""
        return self._of_installed.values()

    def knows(self, project: NormalizedName) -> bool:
        """Whether a trusted repository has the project at all."""
        return self._offers_of(project) is not None

    def offers(self, project: NormalizedName) -> Offers:
        """The project's files that fit the target; none when no repository knows the project."""
        return self._offers_of(project) or Offers()

    def matching(self, project: NormalizedName, specifier: SpecifierSet) -> Sequence[OfferedFile]:
        """The project's files that may be installed in a version that is asked for, best first."""
        return self.offers(project).matching(
            specifier, prereleases=self._prereleases, hashes=self._hashes.allowed(project)
        )

    def installed_distribution(self, project: NormalizedName) -> InstalledDistribution | None:
        """What is installed of the project."""
        return self._environment.installed.get(project)

    def installed_candidate(
        self, distribution: InstalledDistribution, asked_by: SpecifierRequirement
    ) -> InstalledCandidate:
        """The candidate that is installed."""
        project = distribution.project
        if project not in self._of_installed:
            self._of_installed[project] = InstalledCandidate(distribution, asked_by)
        return self._of_installed[project]

    def with_extras(
        self,
        base: BaseCandidate,
        extras: frozenset[NormalizedName],
        asked_by: SpecifierRequirement,
    ) -> ExtrasCandidate:
        """The candidate ``base`` with extras."""
        key = (base, extras)
        if key not in self._of_extras:
            self._of_extras[key] = ExtrasCandidate(base, extras, asked_by)
        return self._of_extras[key]

    def index_candidate(
        self, files: Sequence[OfferedFile], at: int, asked_by: SpecifierRequirement
    ) -> IndexCandidate:
        """The candidate that is ``files[at]``; the rest are those that would be tried after it.

        Raises:
            InvalidMetadataError, VerificationError, ResolutionError: As ``metadata`` does, and as
                ``HashRules.check`` does.
        """
        offered, project = files[at], asked_by.project
        key = (project, offered.file.filename)
        if key not in self._of_file:
            self._hashes.check(project, offered, asked_by)
            self._announce_next(project, files, at)
            raw, metadata = self.metadata(project, offered)
            self._of_file[key] = IndexCandidate(project, offered, raw, metadata, asked_by)
        return self._of_file[key]

    def announce_pages(self, projects: Iterable[NormalizedName]) -> None:
        """Let the index fetch pages that will be needed."""
        unread = [project for project in projects if project not in self._offers]
        if unread:
            self._index.prefetch_pages(unread)

    def announce_metadata(self, project: NormalizedName, files: Sequence[OfferedFile]) -> None:
        """Let the index fetch metadata that will be needed."""
        unread = [f.file for f in files if (project, f.file.filename) not in self._announced]
        if unread:
            self._announced.update((project, file.filename) for file in unread)
            self._index.prefetch_metadata(project, unread)

    def metadata(self, project: NormalizedName, offered: OfferedFile) -> tuple[bytes, CoreMetadata]:
        """The metadata of a file, as bytes and parsed.

        Raises:
            InvalidMetadataError: It is not valid, or a build gives another name or version.
            VerificationError: A signed page offers a file whose metadata is of something else.
            ResolutionError: It takes a build, and there is no builder.
        """
        key = (project, offered.file.filename)
        if key not in self._metadata:
            self._announced.add(key)
            self._metadata[key] = self._read_metadata(project, offered)
        return self._metadata[key]

    def _offers_of(self, project: NormalizedName) -> Offers | None:
        if project not in self._offers:
            page = self._index.page(project)
            self._offers[project] = None if page is None else self._ranking.offers(page)
        return self._offers[project]

    def _announce_next(
        self, project: NormalizedName, files: Sequence[OfferedFile], at: int
    ) -> None:
        """Going down the versions of a project, ask for ever more of the next ones at once.

        The first is asked for alone: most resolutions need no second. After that the number
        doubles, so that going through n versions takes about log n round trips.
        """
        if (project, files[at].file.filename) in self._announced:
            return
        ahead = self._ahead.get(project, 0)
        self._ahead[project] = min(max(1, 2 * ahead), _MAX_AHEAD)
        wanted = {files[at].version: files[at]}
        for offered in islice(files, at + 1, None):
            if len(wanted) > ahead:
                break
            if is_cheap(offered):
                wanted.setdefault(offered.version, offered)
        self.announce_metadata(project, list(wanted.values()))

    def _read_metadata(
        self, project: NormalizedName, offered: OfferedFile
    ) -> tuple[bytes, CoreMetadata]:
        raw, metadata, wrong = self._index_metadata(project, offered)
        if metadata is not None:
            _check_identity(project, offered, metadata)
        if offered.kind is Kind.WHEEL or (metadata is not None and metadata.is_static):
            if metadata is None:
                raise InvalidMetadataError(wrong)
            return raw, metadata
        return self._build_metadata(project, offered)

    def _index_metadata(
        self, project: NormalizedName, offered: OfferedFile
    ) -> tuple[bytes, CoreMetadata | None, str]:
        try:
            raw = self._index.core_metadata(project, offered.file)
            return raw, parse_core_metadata(raw), ""
        except FormatError as error:
            return b"", None, error.what

    def _build_metadata(
        self, project: NormalizedName, offered: OfferedFile
    ) -> tuple[bytes, CoreMetadata]:
        if self._sdist_metadata is None:
            raise ResolutionError(
                f"{offered.file.filename} would have to be built to learn what it requires.",
                meaning="It is a source distribution that does not say so itself (PEP 643).",
                remedy="Ask for a version of which there is a wheel for this Python.",
            )
        raw = self._sdist_metadata(project, offered.file)
        try:
            metadata = parse_core_metadata(raw)
        except FormatError as error:
            raise InvalidMetadataError(error.what) from None
        if (metadata.project, metadata.version) != (project, offered.version):
            raise InvalidMetadataError(
                f"{offered.file.filename} builds {metadata.name} {metadata.version}"
            )
        return raw, metadata


def is_cheap(offered: OfferedFile) -> bool:
    """Whether its metadata can be had without the distribution, or that is small."""
    return offered.file.core_metadata is not None or (
        offered.kind is Kind.WHEEL and offered.file.size < 1_000_000
    )


def _check_identity(project: NormalizedName, offered: OfferedFile, metadata: CoreMetadata) -> None:
    # A page of one project that offers the distribution of another: whoever may sign for the one
    # would speak for the other, and what was resolved is not what would be installed.
    if (metadata.project, metadata.version) != (project, offered.version):
        raise VerificationError(
            f"{offered.file.filename} of the signed page of {project} says in its metadata that "
            f"it is {metadata.name} {metadata.version}.",
            meaning="The repository signs a file under a name or version that is not its own.",
            remedy="Tell the operator of the repository, or exclude it: "
            f"{project}!={offered.version}",
        )
