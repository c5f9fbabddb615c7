"""Makes a lock file from a plan: the chosen file of each project, with hash, size and address.

Rule: the same plan gives the same bytes. As with pip, a lock is for one environment, the target, so
it names the chosen files and no others.

Source: PEP 751, in the form that pip's ``lock`` gives it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

import tomli_w
from packaging.pylock import (
    Package,
    PackageArchive,
    PackageDirectory,
    PackageSdist,
    PackageWheel,
    Pylock,
    PylockValidationError,
    is_valid_pylock_path,
)
from packaging.utils import NormalizedName
from packaging.version import Version

from securepip.errors import FormatError
from securepip.formats.distribution import WHEEL_SUFFIX
from securepip.formats.page import PageFile
from securepip.index.types import UserDirectory, UserFile
from securepip.resolver.plan import PlannedFile

Locate = Callable[[NormalizedName, PageFile], str]
"""Returns the URL of a signed file: absolute, and without credentials."""


def is_lock_path(path: Path) -> bool:
    """Whether installers will recognize a file of that name as a lock."""
    return is_valid_pylock_path(path)


def make_lock(planned: Sequence[PlannedFile], folder: Path, locate: Locate) -> str:
    """Make the text of a lock file.

    Args:
        planned: The files to lock.
        folder: The folder of the lock; the paths of the user's own folders are relative to it.
        locate: Returns the URL of a signed file.

    Raises:
        FormatError: A file has a name that is not allowed in a lock, such as ``x-1.0.tar.bz2``.
    """
    lock = Pylock(
        lock_version=Version("1.0"),
        created_by="securepip",
        packages=[
            _package(one, folder, locate) for one in sorted(planned, key=lambda it: it.project)
        ],
    )
    try:
        lock.validate()
    except PylockValidationError as error:
        raise FormatError(
            f"The lock cannot be written: {error}",
            meaning="No installer would read it (PEP 751).",
            remedy="Ask for another version of that project, or see --only-binary.",
        ) from None
    return tomli_w.dumps(lock.to_dict())


def _package(planned: PlannedFile, folder: Path, locate: Locate) -> Package:
    file = planned.file
    if isinstance(file, UserDirectory):
        return Package(name=planned.project, directory=_directory(file, folder))
    if isinstance(file, UserFile) and planned.is_direct:
        return Package(name=planned.project, archive=_archive(file))
    is_wheel = file.filename.endswith(WHEEL_SUFFIX)
    signed = None if isinstance(file, UserFile) else file
    url = file.url if signed is None else locate(planned.project, signed)
    upload_time = None if signed is None else signed.upload_time
    hashes = {"sha256": str(file.sha256)}
    wheel = PackageWheel(
        name=file.filename, upload_time=upload_time, url=url, size=file.size, hashes=hashes
    )
    sdist = PackageSdist(
        name=file.filename, upload_time=upload_time, url=url, size=file.size, hashes=hashes
    )
    return Package(
        name=planned.project,
        version=planned.version,
        wheels=[wheel] if is_wheel else None,
        sdist=None if is_wheel else sdist,
    )


def _directory(file: UserDirectory, folder: Path) -> PackageDirectory:
    path = os.path.relpath(file.path.resolve(), folder.resolve())
    return PackageDirectory(
        path=Path(path).as_posix(),
        editable=file.editable or None,
        subdirectory=file.subdirectory or None,
    )


def _archive(file: UserFile) -> PackageArchive:
    return PackageArchive(
        url=file.url,
        size=file.size,
        hashes={"sha256": str(file.sha256)},
        subdirectory=file.subdirectory or None,
    )
