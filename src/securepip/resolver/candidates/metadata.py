"""Gets the metadata of files: signed beside the file, read from inside the file, or built.

Rule: the metadata of each file is read and parsed once, and must state the name and version in the
file's name. If a signed file is not what its name says (no readable archive, metadata of another
release), the resolution stops. If its metadata is invalid, the file is ruled out, as in pip.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import islice

from packaging.utils import NormalizedName

from securepip.errors import (
    BrokenDistributionError,
    FormatError,
    RequirementError,
    ResolutionError,
    VerificationError,
)
from securepip.formats.core_metadata import (
    CoreMetadata,
    parse_core_metadata,
    read_core_metadata,
)
from securepip.formats.distribution import WHEEL_SUFFIX, Kind
from securepip.formats.page import PageFile
from securepip.index.types import AnyFile, Index, UserFile
from securepip.resolver.candidates.places import LocalFile
from securepip.resolver.candidates.ranking import OfferedFile
from securepip.resolver.options import ConfigSettings, SdistMetadata

_MAX_AHEAD = 32


class InvalidMetadataError(Exception):
    """A candidate's metadata cannot be used. The candidate is skipped with a warning."""


class InconsistentMetadataError(InvalidMetadataError):
    """One of the user's own files belongs to another project or version than its name says."""


class MetadataReader:
    """Reads and remembers the metadata of the files of one resolution.

    Args:
        index: The verified index.
        sdist_metadata: Builds the metadata of source distributions that do not state it.
        config_settings: ``--config-settings`` for builds, by project.
    """

    def __init__(
        self,
        index: Index,
        sdist_metadata: SdistMetadata | None,
        config_settings: Mapping[NormalizedName, ConfigSettings],
    ) -> None:
        self._index = index
        self._sdist_metadata = sdist_metadata
        self._config_settings = config_settings
        self._known: dict[OfferedFile, tuple[bytes, CoreMetadata]] = {}
        self._announced: set[tuple[NormalizedName, str]] = set()
        self._ahead: dict[NormalizedName, int] = {}

    def announce(self, project: NormalizedName, files: Sequence[OfferedFile]) -> None:
        """Let the index begin to fetch metadata that will be needed."""
        unread = [
            one.file
            for one in files
            if isinstance(one.file, PageFile)
            and (project, one.file.filename) not in self._announced
        ]
        if unread:
            self._announced.update((project, file.filename) for file in unread)
            self._index.prefetch_metadata(project, unread)

    def announce_next(self, project: NormalizedName, files: Sequence[OfferedFile], at: int) -> None:
        """Let the index begin to fetch the metadata of a file and of the next files.

        Most resolutions need only the first version of a project, so that one is fetched alone.
        After that the number doubles, so that going through n versions takes about log n round
        trips.

        Args:
            project: The project.
            files: Its files, in the order in which they are tried.
            at: The index of the file that is tried now.
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
        self.announce(project, list(wanted.values()))

    def read(self, project: NormalizedName, offered: OfferedFile) -> tuple[bytes, CoreMetadata]:
        """The metadata of a file, as bytes and parsed.

        Raises:
            InvalidMetadataError: It is not valid, or states another name or version than the file
                (of the user's own files, and of builds).
            VerificationError: It is not what was signed, or states another name or version.
            BrokenDistributionError: The file is called a wheel and is none.
            ResolutionError: A build is needed, and there is no builder.
            SecurepipError: It could not be fetched or built.
        """
        if offered not in self._known:
            self._announced.add((project, offered.file.filename))
            self._known[offered] = self._read(project, offered)
        return self._known[offered]

    def settings_for(self, project: NormalizedName) -> ConfigSettings:
        """``--config-settings`` for the builds of the project."""
        return self._config_settings.get(project, {})

    def build(
        self, project: NormalizedName | None, file: AnyFile, settings: ConfigSettings
    ) -> bytes:
        """The METADATA that a build of ``file`` makes.

        Raises:
            ResolutionError: There is no builder.
            SecurepipError: As ``SdistMetadata``.
        """
        if self._sdist_metadata is None:
            raise ResolutionError(
                f"{file.filename} would have to be built to learn what it requires.",
                meaning="It is a source distribution that does not say so itself (PEP 643).",
                remedy="Ask for a version that has a wheel for this Python.",
            )
        return self._sdist_metadata(project, file, settings)

    def _read(self, project: NormalizedName, offered: OfferedFile) -> tuple[bytes, CoreMetadata]:
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
        """The metadata in or beside a distribution: bytes, parsed, and why it cannot be used.

        Raises:
            BrokenDistributionError: The file is called a wheel and is none.
        """
        try:
            if isinstance(file, LocalFile):
                raw = read_core_metadata(file.path, file.filename)
            else:
                raw = self._index.core_metadata(project, file)
            return raw, parse_core_metadata(raw), ""
        except FormatError as error:
            is_wheel = file.filename.endswith(WHEEL_SUFFIX)
            if is_wheel and isinstance(error, BrokenDistributionError):
                raise BrokenDistributionError(
                    error.what,
                    meaning="It cannot be the wheel that its name says. An older release is not "
                    "taken in its place: whoever breaks a release would choose that one.",
                    remedy="Tell those who publish it, or exclude that version.",
                ) from None
            return b"", None, error.what

    def _build_metadata(
        self, project: NormalizedName, offered: OfferedFile
    ) -> tuple[bytes, CoreMetadata]:
        raw = self.build(project, plannable(offered), self.settings_for(project))
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
    """Whether getting its metadata takes no large download."""
    return (
        isinstance(offered.file, LocalFile)
        or offered.file.core_metadata is not None
        or (offered.kind is Kind.WHEEL and (offered.file.size or 0) < 1_000_000)
    )


def plannable(offered: OfferedFile) -> PageFile | UserFile:
    """The file in the form that a plan has. One of the user's own files is hashed now."""
    return offered.file.user_file if isinstance(offered.file, LocalFile) else offered.file


def _metadata_beside(
    project: NormalizedName, offered: OfferedFile, file: LocalFile
) -> tuple[bytes, CoreMetadata]:
    """The metadata of one of the user's own files that has a ``.metadata`` file beside it.

    Raises:
        InvalidMetadataError: It is not valid, or states another project or version.
        RequirementError: It cannot be read, or is not the same as in the wheel.
        VerificationError: It has another hash than its page says.
    """
    raw = file.read_metadata_beside()
    try:
        metadata = parse_core_metadata(raw)
        _check_identity(project, offered, metadata)
        if offered.kind is Kind.SDIST:
            return raw, metadata  # the wheel that is built later is compared with it
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
    # The page of one project offers the distribution of another. An attacker who may sign for the
    # first could replace the second, and pip would install something else than was resolved.
    raise VerificationError(
        f"{offered.file.filename} of the signed page of {project} {says}.",
        meaning="The repository signs a file under a name or version that is not its own.",
        remedy=f"Tell the operator of the repository, or exclude it: {project}!={offered.version}",
    )
