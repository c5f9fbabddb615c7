"""Reads the requirements of a distribution, from its ``.metadata`` file or from its own bytes.

Rule: no archive is unpacked, and only the needed parts of a large wheel are fetched. The result
decides which projects are signed, and not whether anything can be trusted.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from packaging.utils import NormalizedName

from securepip.errors import FormatError, SecurepipError, TransportError
from securepip.formats.core_metadata import (
    ARCHIVE_ERRORS,
    bounded_members,
    open_tar,
    open_zip,
    parse_core_metadata,
    parse_dependency,
    read_core_metadata,
    read_wheel_metadata,
    unreadable,
)
from securepip.formats.digests import sha256_of, sha256_of_stream
from securepip.formats.distribution import parse_distribution
from securepip.formats.page import PageFile
from securepip.formats.toml import parse_toml
from securepip.signing.overlay.follow.choice import is_wheel
from securepip.signing.overlay.upstream.files import UpstreamFiles, is_metadata_of
from securepip.transport import file_url_to_path, is_local

MAX_DISTRIBUTION_BYTES = 512 << 20
"""Larger distributions are not fetched; few of them have no ``.metadata`` file."""

SMALL_BYTES = 1 << 18
"""A wheel up to this length is fetched whole, in one request."""

_DEFAULT_BUILD = ("setuptools", "wheel")
_MAX_PYPROJECT_BYTES = 1 << 20
_TRIES = 3


@dataclass(frozen=True)
class Found:
    """The requirements of one distribution.

    Attributes:
        requirements: Its Requires-Dist lines, and the build requirements of an sdist.
        wrong_metadata: Whether the page gives the digest of another ``.metadata`` than the file's.
        remark: For people: why there are no requirements, or why some may be missing; or "".
        failed: Whether another try may find more, because something could not be fetched.
    """

    requirements: tuple[str, ...] = ()
    wrong_metadata: bool = False
    remark: str = ""
    failed: bool = False


def find_requirements(
    project: NormalizedName,
    group: Sequence[PageFile],
    at: UpstreamFiles,
    *,
    briefly: bool = False,
) -> Found:
    """Read the requirements of a group of files. Called from several threads; raises nothing.

    Args:
        project: The project of the files.
        group: Files with the same requirements; those of the first one are read.
        at: Fetches.
        briefly: Read only a ``.metadata`` file, and never a distribution.
    """
    try:
        return _find_beside(project, group, at) or (Found() if briefly else _find_inside(group, at))
    except Exception as error:
        # Whatever a distribution holds must not stop the work on others.
        why = error.what if isinstance(error, SecurepipError) else f"{error!r:.200}"
        remark = f"the requirements of {group[0].filename} cannot be read: {why}"
        return Found(remark=remark, failed=True)


def _find_beside(
    project: NormalizedName, group: Sequence[PageFile], at: UpstreamFiles
) -> Found | None:
    """The requirements in the ``.metadata`` file; None if it is missing or has another digest."""
    file = group[0]
    name = parse_distribution(file.filename, project)
    if file.core_metadata is None or name is None or is_local(file.url):
        return None
    # Mirrors may have the `.metadata` of one wheel and not of its sister.
    for each in group[:_TRIES]:
        try:
            data = at.metadata(each.url)
        except TransportError:
            continue
        if sha256_of(data) == file.core_metadata and is_metadata_of(data, name):
            return _parsed(data, (), file)
    return None


def _find_inside(group: Sequence[PageFile], at: UpstreamFiles) -> Found:
    """The requirements in the distribution itself."""
    file = group[0]
    inside = _read_end(file, at)
    if inside is not None and file.core_metadata in (None, sha256_of(inside)):
        return _parsed(inside, (), file)
    try:
        data, build = _read_distribution(file, at)
    except (FormatError, TransportError) as error:
        remark = f"the requirements of {file.filename} are not known: {error.what}"
        return Found((), remark=remark, failed=isinstance(error, TransportError))
    return _parsed(data, build, file)


def build_requirements(pyproject: bytes | None) -> tuple[str, ...]:
    """The ``[build-system] requires`` of a ``pyproject.toml`` (PEP 518); the default if None.

    Raises:
        ValueError: It is not TOML.
    """
    if pyproject is None:
        return _DEFAULT_BUILD
    system = parse_toml(pyproject.decode()).get("build-system", {})
    requires = system.get("requires") if isinstance(system, dict) else None
    if not isinstance(requires, list):
        return _DEFAULT_BUILD
    return tuple(line for line in requires if isinstance(line, str) and _is_requirement(line))


def _parsed(data: bytes, build: tuple[str, ...], file: PageFile) -> Found:
    wrong = file.core_metadata not in (None, sha256_of(data))
    try:
        metadata = parse_core_metadata(data)
    except FormatError as error:
        return Found(build, wrong, f"the metadata of {file.filename} is not valid: {error.what}")
    remark = ""
    if not is_wheel(file) and not metadata.is_static:
        remark = f"{file.filename} may turn out to need more when it is built"
    return Found((*map(str, metadata.requires_dist), *build), wrong, remark)


def _read_end(file: PageFile, at: UpstreamFiles) -> bytes | None:
    """METADATA of a large wheel, read without the rest of the wheel; None if that is impossible."""
    if not is_wheel(file) or is_local(file.url) or (file.size or 0) < SMALL_BYTES:
        return None
    try:
        with at.open(file.url, file.size or 0) as remote:
            return read_wheel_metadata(remote, file.filename)
    except (TransportError, FormatError):
        return None


def _read_distribution(file: PageFile, at: UpstreamFiles) -> tuple[bytes, tuple[str, ...]]:
    """The metadata file in a distribution, and its build requirements.

    Raises:
        TransportError: It could not be fetched.
        FormatError: It is too large, damaged, or does not have the digest that the page says.
        SecurepipError: This machine cannot read it just now.
    """
    if is_local(file.url):
        return _read_archive(file_url_to_path(file.url), file)
    size = MAX_DISTRIBUTION_BYTES if file.size is None else file.size
    if size > MAX_DISTRIBUTION_BYTES:
        raise FormatError(f"it is too large ({file.size} bytes) to be fetched for them")
    with tempfile.TemporaryDirectory(prefix="securepip-") as folder:
        path = Path(folder) / "distribution"
        with path.open("w+b") as stream:
            at.download(file.url, stream, max_bytes=size)
            stream.seek(0)
            if sha256_of_stream(stream)[0] != file.sha256:
                raise FormatError("its bytes are not those that the index says (sha256)")
        return _read_archive(path, file)


def _read_archive(path: Path, file: PageFile) -> tuple[bytes, tuple[str, ...]]:
    data = read_core_metadata(path, file.filename)
    if is_wheel(file):
        return data, ()
    try:
        return data, build_requirements(_read_pyproject(path, file.filename))
    except ARCHIVE_ERRORS as error:
        broken = FormatError(f"its pyproject.toml cannot be read: {error!s:.200}")
        raise unreadable(path, error, broken) from None


def _read_pyproject(path: Path, filename: str) -> bytes | None:
    """The ``pyproject.toml`` in the top folder of an sdist, or None."""
    if filename.endswith(".zip"):
        with open_zip(path) as archive:
            for name in archive.namelist():
                if _is_pyproject(name):
                    with archive.open(name) as member:
                        return _bounded(member)
        return None
    with open_tar(path) as tar:
        for info in bounded_members(tar):
            if info.isfile() and _is_pyproject(info.name):
                stream = tar.extractfile(info)
                return _bounded(stream) if stream is not None else None
    return None


def _is_pyproject(name: str) -> bool:
    parts = name.removeprefix("./").split("/")
    return len(parts) == 2 and parts[1] == "pyproject.toml"


def _bounded(member: IO[bytes]) -> bytes:
    data = member.read(_MAX_PYPROJECT_BYTES + 1)
    if len(data) > _MAX_PYPROJECT_BYTES:
        raise ValueError("it is too large")
    return data


def _is_requirement(line: str) -> bool:
    try:
        parse_dependency(line)
    except FormatError:
        return False
    return True
