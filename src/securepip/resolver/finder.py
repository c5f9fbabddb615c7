"""Makes candidates: from what is installed, from verified pages, and from what the user names.

Rule: nothing is asked of the index before a candidate from it is really needed, each thing is
parsed once, and one file is one candidate for the whole resolution. A file of the user's has been
hashed before anything of it is read.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path

from packaging.specifiers import SpecifierSet
from packaging.utils import NormalizedName

from securepip.errors import FormatError, RequirementError, ResolutionError, VerificationError
from securepip.formats.core_metadata import (
    CoreMetadata,
    parse_core_metadata,
    read_core_metadata,
)
from securepip.formats.digests import parse_sha256
from securepip.formats.distribution import WHEEL_SUFFIX, Kind
from securepip.formats.page import PageFile
from securepip.index.types import AnyFile, Index, UserDirectory, UserFile
from securepip.resolver.candidates import FileRanking, OfferedFile, Offers
from securepip.resolver.environment import InstalledDistribution, TargetEnvironment
from securepip.resolver.graph import (
    BaseCandidate,
    ExtrasCandidate,
    FileCandidate,
    InstalledCandidate,
    SpecifierRequirement,
)
from securepip.resolver.hashes import HashRules
from securepip.resolver.links import UserLink, hashes_of
from securepip.resolver.options import ConfigSettings, FetchDirect, ResolveOptions, SdistMetadata
from securepip.resolver.places import FindLinks, LocalFile, OwnIndexes
from securepip.resolver.requirements import UserRequirement, refuse_unverifiable

_log = logging.getLogger(__name__)
_MAX_AHEAD = 32


class InvalidMetadataError(Exception):
    """A candidate's metadata is of no use; the candidate is passed over with a warning."""


class InconsistentMetadataError(InvalidMetadataError):
    """A file of the user's is of another project or version than its name says."""


class UnsupportedWheelError(RequirementError):
    """A wheel that a path or URL names does not fit the target."""


class CandidateFinder:
    """Finds and remembers the candidates of one resolution.

    Args:
        environment: The target.
        index: The verified index.
        hashes: What the user demands of files.
        options: How to choose.
        sdist_metadata: Builds the metadata of source distributions that do not say it.
        fetch_direct: Fetches what the user named by address and hash.
        config_settings: For the builds of the projects that have such.
    """

    def __init__(
        self,
        environment: TargetEnvironment,
        index: Index,
        hashes: HashRules,
        options: ResolveOptions,
        sdist_metadata: SdistMetadata | None,
        fetch_direct: FetchDirect | None,
        config_settings: Mapping[NormalizedName, ConfigSettings],
    ) -> None:
        self._environment = environment
        self._index = index
        self._hashes = hashes
        self._options = options
        self._sdist_metadata = sdist_metadata
        self._fetch_direct = fetch_direct
        self._config_settings = config_settings
        self._ranking = FileRanking(environment, options)
        self._places = (
            FindLinks(options.find_links),
            FindLinks(options.locked_files, "a lock file,"),
            OwnIndexes(options.own_indexes),
        )
        self._offers: dict[NormalizedName, Offers | None] = {}
        self._metadata: dict[OfferedFile, tuple[bytes, CoreMetadata]] = {}
        self._announced: set[tuple[NormalizedName, str]] = set()
        self._ahead: dict[NormalizedName, int] = {}
        self._of_file: dict[OfferedFile, FileCandidate] = {}
        self._of_link: dict[tuple[tuple[object, ...], bool], FileCandidate] = {}
        self._unusable: dict[OfferedFile, InvalidMetadataError] = {}
        self._said = ""
        self._of_installed: dict[NormalizedName, InstalledCandidate] = {}
        self._of_extras: dict[tuple[BaseCandidate, frozenset[NormalizedName]], ExtrasCandidate] = {}

    @property
    def installed(self) -> Iterable[InstalledCandidate]:
        """The installed distributions that were considered, in the order in which they were."""
        return self._of_installed.values()

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

    def prereleases(self, project: NormalizedName) -> bool | None:
        """Whether the user wants pre-releases of the project, or not; None as PEP 440 says."""
        asked = self._options.releases.prereleases(project)
        return (self._options.prereleases or None) if asked is None else asked

    def installed_distribution(self, project: NormalizedName) -> InstalledDistribution | None:
        """What is installed of the project, and may be kept."""
        if self._options.ignore_installed or self._options.force_reinstall:
            return None
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

    def found_candidate(
        self, files: Sequence[OfferedFile], at: int, asked_by: SpecifierRequirement
    ) -> FileCandidate:
        """The candidate that is ``files[at]``; the rest are those that would be tried after it.

        Raises:
            InvalidMetadataError, VerificationError, ResolutionError: As ``metadata`` does, and as
                ``HashRules.check`` does.
        """
        offered, project = files[at], asked_by.project
        if offered in self._unusable:
            raise self._unusable[offered]
        if offered not in self._of_file:
            self._say_found(offered, asked_by)
            file = _plannable(offered)
            self._hashes.check(project, file, asked_by)
            self._announce_next(project, files, at)
            try:
                raw, metadata = self.metadata(project, offered)
            except InvalidMetadataError as error:
                self._unusable[offered] = error
                self._say_unusable(offered, asked_by, error)
                raise
            self._of_file[offered] = FileCandidate(
                project,
                offered.version,
                file,
                raw,
                metadata,
                asked_by,
                config_settings=self._settings_for(project),
            )
        return self._of_file[offered]

    def direct_candidate(self, asked: UserRequirement) -> FileCandidate:
        """The candidate that a path or URL names.

        Raises:
            InvalidMetadataError: It is of another project than the one it is named for.
            RequirementError: It cannot be read, or is a wheel that does not fit.
            SecurepipError: It has another hash, could not be fetched, or could not be built.
        """
        link = asked.link
        if link is None:
            raise ValueError(asked)
        refuse_unverifiable(asked)
        key = (link.identity, asked.editable)
        if key not in self._of_link:
            self._of_link[key] = self._make_direct(asked, link)
        return self._of_link[key]

    def with_hashes(self, asked: UserRequirement) -> UserRequirement:
        """A constraint that names a path or URL, with the hashes of the project's requirements."""
        known = self._hashes.allowed(asked.project) if asked.project else frozenset[str]()
        return asked if asked.hashes or not known else replace(asked, hashes=known)

    def announce_pages(self, projects: Iterable[NormalizedName]) -> None:
        """Let the index fetch pages that will be needed."""
        unread = [project for project in projects if project not in self._offers]
        if unread and not self._options.no_index:
            self._index.prefetch_pages(unread)

    def announce_metadata(self, project: NormalizedName, files: Sequence[OfferedFile]) -> None:
        """Let the index fetch metadata that will be needed."""
        unread = [
            one.file
            for one in files
            if isinstance(one.file, PageFile)
            and (project, one.file.filename) not in self._announced
        ]
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
        if offered not in self._metadata:
            self._announced.add((project, offered.file.filename))
            self._metadata[offered] = self._read_metadata(project, offered)
        return self._metadata[offered]

    def _offers_of(self, project: NormalizedName) -> Offers | None:
        if project not in self._offers:
            page = None if self._options.no_index else self._index.page(project)
            local = [file for place in self._places for file in place.files(project)]
            known = page is not None or local
            self._offers[project] = self._ranking.offers(project, page, local) if known else None
        return self._offers[project]

    def _settings_for(self, project: NormalizedName) -> ConfigSettings:
        return self._config_settings.get(project, {})

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
        if isinstance(offered.file, LocalFile) and offered.file.core_metadata is not None:
            return _metadata_beside(project, offered, offered.file)
        raw, metadata, wrong = self._stated_metadata(project, offered.file)
        if metadata is not None:
            _check_identity(project, offered, metadata)
        if offered.kind is Kind.WHEEL or (metadata is not None and metadata.is_static):
            if metadata is None:
                raise InvalidMetadataError(wrong)
            return raw, metadata
        return self._build_metadata(project, offered)

    def _stated_metadata(
        self, project: NormalizedName, file: PageFile | LocalFile
    ) -> tuple[bytes, CoreMetadata | None, str]:
        """What a distribution says of itself; else why that is of no use."""
        try:
            if isinstance(file, LocalFile):
                raw = read_core_metadata(file.path, file.filename)
            else:
                raw = self._index.core_metadata(project, file)
            return raw, parse_core_metadata(raw), ""
        except FormatError as error:
            return b"", None, error.what

    def _build_metadata(
        self, project: NormalizedName, offered: OfferedFile
    ) -> tuple[bytes, CoreMetadata]:
        raw = self._build(project, _plannable(offered), self._settings_for(project))
        try:
            metadata = parse_core_metadata(raw)
        except FormatError as error:
            raise InvalidMetadataError(error.what) from None
        if (metadata.project, metadata.version) != (project, offered.version):
            raise InvalidMetadataError(
                f"{offered.file.filename} builds {metadata.name} {metadata.version}"
            )
        return raw, metadata

    def _build(
        self, project: NormalizedName | None, file: AnyFile, settings: ConfigSettings
    ) -> bytes:
        if self._sdist_metadata is None:
            raise ResolutionError(
                f"{file.filename} would have to be built to learn what it requires.",
                meaning="It is a source distribution that does not say so itself (PEP 643).",
                remedy="Ask for a version of which there is a wheel for this Python.",
            )
        return self._sdist_metadata(project, file, settings)

    def _make_direct(self, asked: UserRequirement, link: UserLink) -> FileCandidate:
        self._say_direct(asked, link)
        file = self._direct_file(asked, link)
        raw = self._direct_metadata(asked, file)
        try:
            metadata = parse_core_metadata(raw)
        except FormatError as error:
            raise RequirementError(
                f"{link.shown} has invalid metadata: {error.what}", remedy="Ask its authors."
            ) from None
        if asked.project not in (None, metadata.project):
            if not link.is_wheel:
                _log.warning(
                    "Generating metadata for package %s produced metadata for project name %s. "
                    "Fix your #egg=%s fragments.",
                    *(asked.project, metadata.name, asked.project),
                )
            raise InconsistentMetadataError(
                f"Requested {asked.text} has inconsistent name: expected {asked.project!r}, but "
                f"metadata has {str(metadata.project)!r}"
            )
        named = asked.requirement
        name = metadata.project if link.is_wheel else metadata.name
        text = f"{name}=={metadata.version}"
        if named is not None and named.url:
            text = f"{named.name} @ {named.url}"
        return FileCandidate(
            metadata.project,
            metadata.version,
            file,
            raw,
            metadata,
            SpecifierRequirement(
                metadata.project, frozenset(), SpecifierSet(), text, comes_from=asked.source
            ),
            link,
            asked.config_settings,
        )

    def _direct_file(self, asked: UserRequirement, link: UserLink) -> UserFile | UserDirectory:
        """What a path or URL leads to, its hash compared with what the user named.

        Raises:
            RequirementError: It cannot be read, or is a wheel that does not fit.
            VerificationError, TransportError: As ``FetchDirect`` does.
        """
        if link.path is not None and link.is_directory:
            self._hashes.check_directory(asked)
            return UserDirectory(
                link.path, link.url, "named by the user", asked.editable, link.subdirectory
            )
        if link.is_wheel and not self._ranking.fits(link.filename):
            raise UnsupportedWheelError(
                f"{link.filename} is not a supported wheel on this platform."
            )
        path = self._kept(asked, link) or link.path or self._fetched(asked, link)
        (sha256,), size = hashes_of(path, ["sha256"])
        file = UserFile(
            path=path,
            filename=link.filename,
            sha256=parse_sha256(sha256.partition(":")[2]),
            size=size,
            url=link.public_url,
            why="named by the user" if link.path else "direct URL, hash given by the user",
            subdirectory=link.subdirectory,
            url_hash=link.hash.replace(":", "="),
        )
        self._hashes.check_direct(file, asked)
        return file

    def _kept(self, asked: UserRequirement, link: UserLink) -> Path | None:
        """What is in the folder of downloads under that name, if it has the hash asked for."""
        if self._options.downloads is None or not asked.acceptable:
            return None
        path = self._options.downloads / Path(link.filename).name
        if not path.is_file():
            return None
        found, _ = hashes_of(path, {one.partition(":")[0] for one in asked.acceptable})
        return path if found & asked.acceptable else None

    def _fetched(self, asked: UserRequirement, link: UserLink) -> Path:
        if self._fetch_direct is None:
            raise RequirementError(f"{link.url} cannot be fetched here.")
        return self._fetch_direct(link.url, asked.acceptable)

    def _direct_metadata(self, asked: UserRequirement, file: UserFile | UserDirectory) -> bytes:
        """The METADATA of what the user named.

        Raises:
            RequirementError: It is a wheel without readable metadata.
            SecurepipError: A build failed.
        """
        if isinstance(file, UserDirectory):
            return self._build(None, file, asked.config_settings)  # its name is compared here
        try:
            raw = read_core_metadata(file.path, file.filename)
            if file.filename.endswith(WHEEL_SUFFIX):
                raw.decode("utf-8")
            static = parse_core_metadata(raw).is_static and not file.subdirectory
        except UnicodeDecodeError as error:
            raise RequirementError(
                f"Error decoding metadata for {file.path}: {error} in METADATA file"
            ) from None
        except FormatError as error:
            if file.filename.endswith(WHEEL_SUFFIX):
                raise RequirementError(error.what) from None
            raw, static = b"", False
        if static or file.filename.endswith(WHEEL_SUFFIX):
            return raw
        return self._build(asked.project, file, asked.config_settings)

    def _say_found(self, offered: OfferedFile, asked_by: SpecifierRequirement) -> None:
        if isinstance(offered.file, LocalFile):
            what = f"Processing {_shown(offered.file.path)}"
        else:
            what = f"Collecting {asked_by.unmarked.strip()}"
        self._say(f"{what} (from {asked_by.comes_from})" if asked_by.comes_from else what)

    def _say_unusable(
        self, offered: OfferedFile, asked_by: SpecifierRequirement, error: InvalidMetadataError
    ) -> None:
        if isinstance(error, InconsistentMetadataError):
            url = offered.file.url
            _log.info("Discarding %s: Requested %s from %s %s", url, asked_by.text, url, error)
            return
        _log.warning(
            "Ignoring version %s of %s since it has invalid metadata:\n%s",
            offered.version,
            asked_by.project,
            error,
        )

    def _say_direct(self, asked: UserRequirement, link: UserLink) -> None:
        source = f" (from {asked.source})" if asked.source else ""
        if asked.editable:
            self._say(f"Obtaining {link.url}{source}")
        elif link.path is not None:
            self._say(f"Processing {_shown(link.path)}{source if asked.requirement else ''}")
        else:
            self._say(f"Collecting {asked.requirement or link.url}{source}")

    def _say(self, line: str) -> None:
        if line != self._said:
            self._said = line
            _log.info("%s", line)


def is_cheap(offered: OfferedFile) -> bool:
    """Whether its metadata can be had without the distribution, or that is small or here."""
    return (
        isinstance(offered.file, LocalFile)
        or offered.file.core_metadata is not None
        or (offered.kind is Kind.WHEEL and offered.file.size < 1_000_000)
    )


def _plannable(offered: OfferedFile) -> PageFile | UserFile:
    return offered.file.user_file if isinstance(offered.file, LocalFile) else offered.file


def _shown(path: Path) -> str:
    """A path as pip prints it: below the current folder as ``./…``."""
    here = str(Path.cwd())
    text = str(path)
    return f".{text[len(here) :]}" if text.startswith(here + os.sep) else text


def _metadata_beside(
    project: NormalizedName, offered: OfferedFile, file: LocalFile
) -> tuple[bytes, CoreMetadata]:
    """What the ``.metadata`` file beside a file of the user's says; that of a wheel must agree.

    Raises:
        InvalidMetadataError: It is not valid, or of another project or version.
        RequirementError: It cannot be read, or is not what the wheel says of itself.
        VerificationError: It has another hash than its page says.
    """
    raw = file.read_metadata_beside()
    try:
        metadata = parse_core_metadata(raw)
        _check_identity(project, offered, metadata)
        if offered.kind is Kind.SDIST:
            return raw, metadata  # to which the wheel that is built from it is held
        raw = read_core_metadata(file.path, file.filename)
        inside = parse_core_metadata(raw)
    except FormatError as error:
        raise InvalidMetadataError(error.what) from None
    for name, beside, within in (
        ("Requires-Dist", metadata.requires_dist, inside.requires_dist),
        ("Requires-Python", [metadata.requires_python], [inside.requires_python]),
        ("Provides-Extra", metadata.extras, inside.extras),
    ):
        stated, found = set(map(str, beside)), set(map(str, within))
        if stated != found:
            raise RequirementError(
                f"{file.url} has inconsistent {name} between its PEP 658 .metadata file and the "
                f"wheel's METADATA: sidecar has {', '.join(sorted(stated - found))!r}, wheel has "
                f"{', '.join(sorted(found - stated))!r}"
            )
    return raw, inside


def _check_identity(project: NormalizedName, offered: OfferedFile, metadata: CoreMetadata) -> None:
    if (metadata.project, metadata.version) == (project, offered.version):
        return
    says = f"says in its metadata that it is {metadata.name} {metadata.version}"
    if isinstance(offered.file, LocalFile):
        field, expected, found = "version", str(offered.version), str(metadata.version)
        if metadata.project != project and offered.file.core_metadata is not None:
            field, expected, found = "Name", project, metadata.name
        elif metadata.project != project:
            field, expected, found = "name", project, metadata.project
        raise InconsistentMetadataError(
            f"has inconsistent {field}: expected {expected!r}, but metadata has {found!r}"
        )
    # A page of one project that offers the distribution of another: whoever may sign for the one
    # would speak for the other, and what was resolved is not what would be installed.
    raise VerificationError(
        f"{offered.file.filename} of the signed page of {project} {says}.",
        meaning="The repository signs a file under a name or version that is not its own.",
        remedy=f"Tell the operator of the repository, or exclude it: {project}!={offered.version}",
    )
