"""Makes candidates of the paths and URLs that the user names.

Rule: a file is hashed before anything in it is read.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

from packaging.specifiers import SpecifierSet

from securepip.errors import FormatError, RequirementError
from securepip.formats.core_metadata import parse_core_metadata, read_core_metadata
from securepip.formats.digests import hashes_of_stream, open_plain, parse_sha256
from securepip.formats.distribution import WHEEL_SUFFIX
from securepip.index.types import UserDirectory, UserFile
from securepip.resolver.candidates.graph import FileCandidate, SpecifierRequirement
from securepip.resolver.candidates.hashes import HashRules
from securepip.resolver.candidates.metadata import InconsistentMetadataError, MetadataReader
from securepip.resolver.candidates.narration import Narrator
from securepip.resolver.candidates.ranking import FileRanking
from securepip.resolver.options import FetchDirect
from securepip.resolver.requirements.links import UserLink, hashes_of
from securepip.resolver.requirements.parse import refuse_unverifiable
from securepip.resolver.requirements.types import UserRequirement

_log = logging.getLogger(__name__)


class UnsupportedWheelError(RequirementError):
    """A wheel that a path or URL names does not fit the target."""


class DirectFiles:
    """Makes the candidates that paths and URLs name. Naming one twice gives the same candidate.

    Args:
        ranking: Decides which wheels fit the target.
        hashes: The hashes that the user gave.
        metadata: Builds the metadata of sources that do not state it.
        fetch: Fetches files from direct URLs.
        downloads: As in ``ResolveOptions``.
        narrator: Logs what is looked at.
    """

    def __init__(
        self,
        ranking: FileRanking,
        hashes: HashRules,
        metadata: MetadataReader,
        fetch: FetchDirect | None,
        downloads: Path | None,
        narrator: Narrator,
    ) -> None:
        self._ranking = ranking
        self._hashes = hashes
        self._metadata = metadata
        self._fetch = fetch
        self._downloads = downloads
        self._narrator = narrator
        self._made: dict[tuple[tuple[object, ...], bool], FileCandidate] = {}

    def candidate(self, asked: UserRequirement) -> FileCandidate:
        """The candidate that a path or URL names.

        Raises:
            InvalidMetadataError: It belongs to another project than the requirement names.
            RequirementError: It cannot be read, or is a wheel that does not fit the target.
            SecurepipError: It has another hash, could not be fetched, or could not be built.
        """
        link = asked.link
        if link is None:
            raise ValueError(asked)
        refuse_unverifiable(asked)
        key = (link.identity, asked.editable)
        if key not in self._made:
            self._made[key] = self._make(asked, link)
        return self._made[key]

    def with_hashes(self, asked: UserRequirement) -> UserRequirement:
        """A constraint that names a path or URL, with the hashes that apply to its project."""
        known = self._hashes.allowed(asked.project) if asked.project else frozenset[str]()
        return asked if asked.hashes or not known else replace(asked, hashes=known)

    def _make(self, asked: UserRequirement, link: UserLink) -> FileCandidate:
        self._narrator.direct(asked, link)
        file = self._file(asked, link)
        raw = self._metadata_of(asked, file)
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

    def _file(self, asked: UserRequirement, link: UserLink) -> UserFile | UserDirectory:
        """The file or folder that a path or URL names, after its hash was checked.

        Raises:
            RequirementError: It cannot be read, or is a wheel that does not fit the target.
            VerificationError, TransportError: As ``FetchDirect``.
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
        """The file of that name in the folder of downloads, if it has one of the given hashes."""
        if self._downloads is None or not asked.acceptable:
            return None
        path = self._downloads / Path(link.filename).name
        try:
            with open_plain(path) as stream:
                algorithms = {one.partition(":")[0] for one in asked.acceptable}
                found, _ = hashes_of_stream(stream, algorithms)
        except OSError:
            return None
        return path if found & asked.acceptable else None

    def _fetched(self, asked: UserRequirement, link: UserLink) -> Path:
        if self._fetch is None:
            raise RequirementError(f"{link.url} cannot be fetched here.")
        return self._fetch(link.url, asked.acceptable)

    def _metadata_of(self, asked: UserRequirement, file: UserFile | UserDirectory) -> bytes:
        """The METADATA of what the user named.

        Raises:
            RequirementError: It is a wheel without readable metadata.
            SecurepipError: A build failed.
        """
        if isinstance(file, UserDirectory):
            # Without the project: `_make` compares the name.
            return self._metadata.build(None, file, asked.config_settings)
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
        return self._metadata.build(asked.project, file, asked.config_settings)
