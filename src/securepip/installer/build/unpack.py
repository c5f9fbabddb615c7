"""Source distributions, unpacked from private copies.

Rule: nothing is unpacked out of the folder that it belongs in, and nothing without bounds.
"""

from __future__ import annotations

import tarfile
import zipfile
from pathlib import Path

from securepip.errors import FormatError, InstallationError
from securepip.formats.core_metadata import ARCHIVE_ERRORS, BoundedTarInfo
from securepip.formats.layout import check_filename
from securepip.index.types import UserFile, VerifiedFile
from securepip.installer.copies import copy_verified

_MAX_MEMBERS = 500_000
_MAX_UNPACKED_BYTES = 8 << 30


def unpack_sdist(sdist: VerifiedFile | UserFile, folder: Path) -> Path:
    """Unpack a private copy of the sdist and return its top folder.

    Raises:
        VerificationError: The stored file is not what was verified.
        FormatError: It cannot be unpacked safely.
    """
    copy = folder / check_filename(sdist.filename)
    copy_verified(sdist.path, copy, sdist.filename, sdist.sha256, sdist.size)
    unpacked = folder / "source"
    unpacked.mkdir()
    try:
        if zipfile.is_zipfile(copy):
            _unpack_zip(copy, unpacked)
        else:
            _unpack_tar(copy, unpacked)
    except ARCHIVE_ERRORS as error:
        raise FormatError(f"{copy.name} cannot be unpacked: {error}") from None
    found = list(unpacked.iterdir())
    alone = len(found) == 1 and found[0].is_dir() and not found[0].is_symlink()
    # As pip: an old archive may hold its files without a folder around them.
    return found[0] if alone else unpacked


def _unpack_tar(path: Path, folder: Path) -> None:
    if not hasattr(tarfile, "data_filter"):
        raise InstallationError(
            "This Python cannot unpack an archive safely.", remedy="Update Python: 3.10.12, 3.11.4."
        )
    with tarfile.open(path, tarinfo=BoundedTarInfo) as tar:
        members, size = [], 0
        for member in tar:
            members.append(member)
            size += member.size
            _check_bounds(len(members), size)
        tar.extractall(folder, members, filter="data")


def _unpack_zip(path: Path, folder: Path) -> None:
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
        _check_bounds(len(members), sum(member.file_size for member in members))
        archive.extractall(folder)  # noqa: S202 - zipfile keeps every member below the folder


def _check_bounds(members: int, size: int) -> None:
    if members > _MAX_MEMBERS or size > _MAX_UNPACKED_BYTES:
        raise ValueError(f"more than {_MAX_MEMBERS} files or {_MAX_UNPACKED_BYTES} bytes")
