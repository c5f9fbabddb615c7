"""Core metadata (METADATA, PKG-INFO): read from a distribution, and parsed without surprises.

Rule: nothing is extracted to disk or executed. Only the member that holds the metadata is read into
memory, up to ``MAX_METADATA_BYTES``.

Sources: core metadata specification 1.0 to 2.5, PEP 643 (Dynamic), wheel and sdist formats.
"""

from __future__ import annotations

import lzma
import re
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from email.parser import HeaderParser
from pathlib import Path
from typing import IO, TYPE_CHECKING, cast

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import NormalizedName, canonicalize_name
from packaging.version import Version

from securepip.dirs import explained
from securepip.errors import BrokenDistributionError, FormatError, SecurepipError
from securepip.formats.distribution import WHEEL_SUFFIX

if TYPE_CHECKING:
    from typing_extensions import Self

MAX_METADATA_BYTES = 10_000_000
"""The largest metadata file that is read (10 MB)."""

_MAX_MEMBERS = 200_000
_MAX_PASSED_BYTES = 2 << 30
_MAX_COPIES = 10
_MAX_HEADER_BYTES = 1 << 20
_MAX_DICTIONARY_BYTES = 256 << 20
_MAX_DIRECTORY_BYTES = 32 << 20
"""The longest directory of a ZIP archive. ``zipfile`` reads it whole when it opens the archive, and
needs eleven times as much memory: 5 GB for 512 MB."""
_DIRECTORY_SIZE = 5
"""Its index in what ``zipfile`` reads at the end of an archive."""
_CHUNK = 1 << 16
_HEADER_TYPES = (
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
    tarfile.XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.SOLARIS_XHDTYPE,
)
_SINGLE = ("name", "version", "requires-python", "metadata-version")
_REPEATED = ("requires-dist", "provides-extra", "dynamic")
_DECISIVE = frozenset({"name", "version", "requires-dist", "requires-python"})
# Limits against hostile metadata. Parsing takes time proportional to lines times different names.
_MAX_FIELDS, _MAX_FIELD_NAMES = 100_000, 200
# A requirement with thousands of versions or markers slows down everything that evaluates it.
_MAX_REQUIREMENT = 20_000
# Python refuses to convert more than 4300 digits, which would fail in the middle of a comparison.
_ENDLESS_NUMBER = re.compile("[0-9]{1000}")

ARCHIVE_ERRORS = (
    zipfile.BadZipFile,
    tarfile.TarError,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    IndexError,  # a member whose name is empty
    OSError,
    OverflowError,
    ValueError,
    RuntimeError,
)
"""What reading an archive raises if it is damaged, encrypted, or made to be unreadable."""


def unreadable(path: Path, error: Exception, broken: FormatError) -> SecurepipError:
    """The error for an archive that this machine cannot read now, or that is broken.

    Args:
        path: The archive.
        error: One of ``ARCHIVE_ERRORS``.
        broken: The error to use if this machine is not the reason.
    """
    if isinstance(error, SecurepipError):
        return error
    if isinstance(error, OSError) and error.filename is None:
        error.filename = str(path)  # the error of a failed read names no file
    return explained(error) or broken


def open_zip(path: Path) -> zipfile.ZipFile:
    """Open a ZIP archive.

    ``zipfile`` raises ``BadZipFile`` also if a read fails. So the file is read once more then,
    which raises the ``OSError`` of a failing disk.

    Raises:
        OSError: The file cannot be read.
        zipfile.BadZipFile: It is not a ZIP archive, or lists more members than any real one.
    """
    _check_directory(path)
    try:
        return zipfile.ZipFile(path)
    except zipfile.BadZipFile:
        _read_through(path)
        return zipfile.ZipFile(path)


def _check_directory(path: Path) -> None:
    """Check that the directory of a ZIP archive is not too long to be read.

    The library's own reader finds it, so that it is the one which the library will read.
    """
    with path.open("rb") as stream:
        end = zipfile._EndRecData(stream)  # type: ignore[attr-defined]
    if end is not None and end[_DIRECTORY_SIZE] > _MAX_DIRECTORY_BYTES:
        raise zipfile.BadZipFile("it lists more members than any real archive")


def _read_through(path: Path) -> None:
    """Read a file to its end.

    Raises:
        OSError: It cannot be read.
    """
    with path.open("rb") as stream:
        while stream.read(_CHUNK):
            pass


@contextmanager
def open_tar(path: Path, encoding: str | None = None) -> Iterator[tarfile.TarFile]:
    """Open a tar archive, compressed in any way that ``tarfile`` knows, to be read once.

    For an xz file the library allocates as much memory as the file's header says: a file of some
    kilobytes took gigabytes. So xz files are decompressed here, with a limit. And the library takes
    a failing read for another compression, so a file of unknown compression is read once more,
    which raises the ``OSError`` of a failing disk.

    Args:
        path: The archive.
        encoding: Of member names; by default the system's.

    Raises:
        OSError: The file cannot be read.
        tarfile.ReadError: It is not a tar archive, or announces a header that is too large.
        lzma.LZMAError: It is damaged, or needs too much memory.
    """
    tar = _plain_tar(path, encoding)
    if tar is None:
        _read_through(path)
        tar = _plain_tar(path, encoding)
    if tar is not None:
        with tar:
            yield tar
        return
    with path.open("rb") as file:
        packed = cast("IO[bytes]", _Xz(file))
        with tarfile.open(
            fileobj=packed, mode="r|", tarinfo=_BoundedTarInfo, encoding=encoding
        ) as stream:
            yield stream


def _plain_tar(path: Path, encoding: str | None) -> tarfile.TarFile | None:
    """The archive, if ``_Tar`` knows its compression; else None."""
    try:
        return _Tar.open(path, tarinfo=_BoundedTarInfo, encoding=encoding)
    except tarfile.ReadError:
        return None


class _BoundedTarInfo(tarfile.TarInfo):
    """Refuses large headers, which ``tarfile`` would read into memory as a whole."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        """As in the base class.

        Raises:
            tarfile.ReadError: The header announces a sparse file, or more bytes than any needs.
        """
        info = super().frombuf(buf, encoding, errors)
        if info.type == tarfile.GNUTYPE_SPARSE:
            raise tarfile.ReadError("a sparse file")
        if info.type in _HEADER_TYPES and info.size > _MAX_HEADER_BYTES:
            raise tarfile.ReadError(f"a header of {info.size} bytes")
        return info


class _Tar(tarfile.TarFile):
    """Knows only the compressions that need little memory."""

    OPEN_METH = {"tar": "taropen", "gz": "gzopen", "bz2": "bz2open"}  # noqa: RUF012 - the library's


class _Xz:
    """The stream that ``tarfile`` reads from an xz or lzma file, with a memory limit."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._rest = b""
        self._decompressor = lzma.LZMADecompressor(memlimit=_MAX_DICTIONARY_BYTES)

    def read(self, size: int) -> bytes:
        """``size`` bytes; fewer only at the end."""
        found = b""
        while len(found) < size:
            if self._decompressor.eof:
                # Another stream may follow, after a padding of zeros.
                self._rest = self._decompressor.unused_data.lstrip(b"\0")
                self._rest = self._rest or self._file.read(_CHUNK).lstrip(b"\0")
                if not self._rest:
                    break
                self._decompressor = lzma.LZMADecompressor(memlimit=_MAX_DICTIONARY_BYTES)
            elif self._decompressor.needs_input:
                self._rest = self._file.read(_CHUNK)
                if not self._rest:
                    raise EOFError("the archive ends before its end")
            data, self._rest = self._rest, b""
            found += self._decompressor.decompress(data, size - len(found))
        return found


@dataclass(frozen=True)
class CoreMetadata:
    """The metadata fields that a resolver and a publisher need.

    Attributes:
        name: The project's name as its authors write it.
        version: The version.
        requires_dist: The requirements, markers and extras included.
        requires_python: The specifier as written, perhaps not valid; None if absent.
        extras: The extras it provides, normalized.
        dynamic: The fields (lower case) that may differ in a wheel built from it (PEP 643).
        metadata_version: For example ``(2, 2)``; ``(1, 0)`` if absent.
    """

    name: str
    version: Version
    requires_dist: tuple[Requirement, ...]
    requires_python: str | None
    extras: frozenset[NormalizedName]
    dynamic: frozenset[str]
    metadata_version: tuple[int, ...]

    @property
    def project(self) -> NormalizedName:
        """The normalized name."""
        return canonicalize_name(self.name)

    @property
    def is_static(self) -> bool:
        """Whether an sdist's wheel will have the same requirements without a build (PEP 643)."""
        binding = {"requires-dist", "requires-python", "provides-extra", "version"}
        return self.metadata_version >= (2, 2) and not binding & self.dynamic


def parse_core_metadata(data: bytes) -> CoreMetadata:
    """Parse a METADATA or PKG-INFO file.

    Unknown fields and a malformed description are ignored. The fields that decide what is installed
    must be valid.

    Raises:
        FormatError: The name or the version is missing, or one of the deciding fields is invalid.
    """
    # Not `packaging.metadata`: importing it takes as long as everything else here.
    fields = HeaderParser().parsestr(_fields(data).decode("utf-8", "surrogateescape"))
    read = {name: fields.get_all(name, []) for name in (*_SINGLE, *_REPEATED)}
    for field, values in read.items():
        # A value that is not UTF-8 is an object of `email`, not a `str`.
        is_text = all(isinstance(value, str) for value in values)
        if not is_text or (field in _SINGLE and len(values) > 1):
            if field in _DECISIVE:
                raise FormatError(f"core metadata with an unreadable field {field!r}")
            read[field] = []
    single = {name: read[name][0] if read[name] else None for name in _SINGLE}
    name, version = single["name"], single["version"]
    if not name or not version:
        raise FormatError("core metadata without a name or a version")
    try:
        parsed_version = Version(version)
        requirements = tuple(parse_dependency(line.strip()) for line in read["requires-dist"])
    except (ValueError, FormatError) as error:
        raise FormatError(f"core metadata of {name} {version}: {error!s:.500}") from None
    return CoreMetadata(
        name=name,
        version=parsed_version,
        requires_dist=requirements,
        requires_python=single["requires-python"],
        extras=frozenset(canonicalize_name(extra) for extra in read["provides-extra"]),
        dynamic=frozenset(line.strip().lower() for line in read["dynamic"]),
        metadata_version=_parse_metadata_version(single["metadata-version"] or "1.0"),
    )


def parse_dependency(text: str) -> Requirement:
    """Parse a requirement (PEP 508).

    Raises:
        FormatError: It is not valid, or so large that it would slow down or break its reader.
    """
    if len(text) > _MAX_REQUIREMENT:
        raise FormatError(f"a requirement of {len(text)} characters")
    if _ENDLESS_NUMBER.search(text):
        raise FormatError("a requirement with a number of a thousand digits")
    try:
        return Requirement(text)
    except InvalidRequirement as error:
        raise FormatError(f"{error!s:.500}") from None
    except RecursionError:
        raise FormatError("a requirement that is nested too deeply") from None


def _fields(data: bytes) -> bytes:
    """``data`` without the description after the fields.

    Raises:
        FormatError: There are so many fields, or so long a number, that parsing would take long.
    """
    names: set[bytes] = set()
    fields: list[bytes] = []
    for line in data.splitlines():
        if not line:
            break
        fields.append(line)
        if not line.startswith((b" ", b"\t")):
            names.add(line.partition(b":")[0].lower())
    if len(fields) > _MAX_FIELDS or len(names) > _MAX_FIELD_NAMES:
        raise FormatError("core metadata with more fields than any has")
    head = b"\n".join(fields)
    if _ENDLESS_NUMBER.search(head.decode("latin-1")):
        raise FormatError("core metadata with a number of a thousand digits")
    return head


def read_core_metadata(path: Path, filename: str | None = None) -> bytes:
    """The metadata file inside the distribution at ``path``.

    Args:
        path: The wheel or sdist on disk.
        filename: Its distribution file name, if ``path`` has another name (in the store).

    Raises:
        BrokenDistributionError: It is not a readable wheel or sdist, or a wheel without exactly one
            metadata file.
        FormatError: It is an sdist without a metadata file, or the metadata file is too large.
        SecurepipError: This machine cannot read it now.
    """
    filename = filename or path.name
    try:
        if filename.endswith(WHEEL_SUFFIX):
            return _read_wheel(path, filename)
        return _read_sdist(path, filename)
    except ARCHIVE_ERRORS as error:
        broken = BrokenDistributionError(f"{filename} is not a readable archive: {error}")
        raise unreadable(path, error, broken) from None


def read_wheel_metadata(wheel: Path | IO[bytes], filename: str) -> bytes:
    """As ``read_core_metadata``, for a wheel that may also be a seekable stream.

    Raises:
        BrokenDistributionError: It is not a readable wheel, or has not exactly one metadata file.
        FormatError: The metadata file is too large.
        SecurepipError: This machine cannot read it now.
    """
    try:
        return _read_wheel(wheel, filename)
    except ARCHIVE_ERRORS as error:
        broken = BrokenDistributionError(f"{filename} is not a readable archive: {error}")
        raise unreadable(wheel, error, broken) if isinstance(wheel, Path) else broken from None


def _read_wheel(path: Path | IO[bytes], filename: str) -> bytes:
    with open_zip(path) if isinstance(path, Path) else zipfile.ZipFile(path) as archive:
        return metadata_in(archive, filename)


def metadata_in(archive: zipfile.ZipFile, filename: str) -> bytes:
    """As ``read_core_metadata``, for a wheel that is open already.

    Raises:
        BrokenDistributionError: It has not exactly one metadata file.
        FormatError: The metadata file is too large.
        zipfile.BadZipFile: Or another of ``ARCHIVE_ERRORS``: the archive is damaged.
    """
    # By the wheel specification, the first two parts of the file name are the name of the
    # .dist-info folder. If two folders normalized to that name, pip could read the other one.
    project = canonicalize_name(filename.partition("-")[0])
    names = [
        name
        for name in archive.namelist()
        if name.endswith(".dist-info/METADATA") and name.count("/") == 1
    ]
    own = [name for name in names if canonicalize_name(name).startswith(f"{project}-")]
    if len(names) == 1 and not own:
        raise BrokenDistributionError(
            f"{project} has an invalid wheel, .dist-info directory {names[0].split('/')[0]!r} "
            f"does not start with {project!r}"
        )
    if len(set(own)) != 1:
        raise BrokenDistributionError(
            f"{filename} has {len(own)} METADATA files of its own, not one"
        )
    # Some tools write a member twice, and pip reads the last one. So all copies must be the same.
    listed = [info for info in archive.infolist() if info.filename == own[0]]
    if len(listed) > _MAX_COPIES:
        raise BrokenDistributionError(f"{filename} has METADATA {len(listed)} times")
    read = set()
    for info in listed:
        with archive.open(info) as member:
            read.add(_read_bounded(member, filename))
    if len(read) != 1:
        raise BrokenDistributionError(f"{filename} has METADATA twice, with different contents")
    return read.pop()


def _read_sdist(path: Path, filename: str) -> bytes:
    if filename.endswith(".zip"):
        with open_zip(path) as archive:
            for name in archive.namelist():
                if _is_pkg_info(name):
                    with archive.open(name) as member:
                        return _read_bounded(member, filename)
    else:
        with open_tar(path) as tar:
            for info in bounded_members(tar):
                if info.isfile() and _is_pkg_info(info.name):
                    stream = tar.extractfile(info)
                    if stream is not None:
                        return _read_bounded(stream, filename)
    raise FormatError(f"{filename} has no PKG-INFO in its top folder")


def bounded_members(tar: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    """The members of an archive, up to limits that no real archive reaches.

    Skipping a member decompresses it too, and a hostile archive of a few kilobytes could keep the
    reader busy for hours.
    """
    for count, info in enumerate(tar):
        if count > _MAX_MEMBERS or info.offset_data + info.size > _MAX_PASSED_BYTES:
            return
        yield info


def _is_pkg_info(name: str) -> bool:
    parts = name.removeprefix("./").split("/")
    return len(parts) == 2 and parts[1] == "PKG-INFO"


def _read_bounded(member: IO[bytes], filename: str) -> bytes:
    data = member.read(MAX_METADATA_BYTES + 1)
    if len(data) > MAX_METADATA_BYTES:
        raise FormatError(f"the metadata of {filename} is larger than {MAX_METADATA_BYTES} bytes")
    return data


def _parse_metadata_version(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split("."))
    except ValueError:
        return (1, 0)
