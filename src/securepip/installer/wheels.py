"""Makes the private copies of wheels that pip reads, and checks them.

Rule: the copy that pip reads is checked, never the file that it was copied from.
"""

from __future__ import annotations

import os
import zipfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from packaging.utils import NormalizedName

from securepip.errors import FormatError, InstallationError, VerificationError
from securepip.formats.core_metadata import (
    ARCHIVE_ERRORS,
    metadata_in,
    open_zip,
    parse_core_metadata,
    unreadable,
)
from securepip.formats.distribution import WHEEL_SUFFIX, Kind, parse_distribution
from securepip.formats.layout import check_filename
from securepip.formats.wheel import Inside, look_inside
from securepip.index.types import UserDirectory, UserFile, VerifiedFile
from securepip.installer.build.cache import BuiltWheel
from securepip.installer.copies import copy_verified
from securepip.installer.direct_url import direct_url_of
from securepip.installer.target.workers import Source, Sources
from securepip.resolver.plan import PlannedFile


@dataclass(frozen=True)
class HandOff:
    """One distribution to install.

    Attributes:
        planned: What was planned.
        wheel: The verified or built wheel, or the user's own.
    """

    planned: PlannedFile
    wheel: VerifiedFile | BuiltWheel | UserFile


@dataclass(frozen=True, eq=False)
class CheckedWheel:
    """A checked private copy of a wheel, and what it becomes when it is installed.

    Attributes:
        project: Its project.
        name: The name in its metadata.
        version: The version in its metadata.
        dist_info: The name of its ``.dist-info`` folder.
        members: The names of its files.
        unpacked: The length of all its files, in bytes.
        scripts: The names of the scripts that pip makes for it.
        unheld: Names in its RECORD that are not members.
        sources: Its Python files.
        requested: Whether the user named it.
        direct_url: The contents of its ``direct_url.json``; None if it has none.
    """

    project: NormalizedName
    name: str
    version: str
    dist_info: str
    members: tuple[str, ...]
    unpacked: int
    scripts: tuple[str, ...]
    unheld: frozenset[str]
    sources: Sources
    requested: bool
    direct_url: bytes | None


class Copies:
    """Private copies of wheels, made and checked in parallel, each when its wheel is fetched.

    Args:
        folder: A private folder.
        copied: Called with the sources of each checked copy, in any thread.
    """

    def __init__(self, folder: Path, copied: Callable[[Sources], None] | None = None) -> None:
        self._folder, self._copied = folder, copied
        self._expected: Mapping[NormalizedName, PlannedFile] = {}
        self._begun: dict[NormalizedName, tuple[HandOff, Future[CheckedWheel]]] = {}
        self._pool = ThreadPoolExecutor(os.cpu_count())

    def expect(self, plan: Iterable[PlannedFile]) -> None:
        """Say which files ``take`` may get."""
        self._expected = {one.project: one for one in plan}

    def take(self, file: VerifiedFile) -> None:
        """Begin to copy a fetched file, if it is an expected wheel. Any thread may call it.

        ``all`` raises its errors.
        """
        planned = self._expected.get(file.project)
        if planned is not None and file.filename.endswith(WHEEL_SUFFIX):
            self._begin(HandOff(planned, file))

    def all(self, files: Sequence[HandOff]) -> list[CheckedWheel]:
        """Wait for the copies of these wheels, in that order.

        Raises:
            VerificationError: A wheel is not what was verified, or not what was resolved.
            FormatError: A wheel is not readable.
            InstallationError: A built wheel has other requirements than were resolved.
        """
        begun = [self._begun.get(item.planned.project) for item in files]
        copies = [
            one[1] if one and one[0] == item else self._begin(item)
            for item, one in zip(files, begun, strict=True)
        ]
        return [copy.result() for copy in copies]

    def __enter__(self) -> Copies:
        return self

    def __exit__(self, *exception: object) -> None:
        self._pool.shutdown(cancel_futures=True)

    def _begin(self, item: HandOff) -> Future[CheckedWheel]:
        copy = self._pool.submit(self._copy, item)
        self._begun[item.planned.project] = item, copy
        return copy

    def _copy(self, item: HandOff) -> CheckedWheel:
        wheel = _copy(item, self._folder)
        if self._copied is not None:
            self._copied(wheel.sources)
        return wheel


def _copy(item: HandOff, folder: Path) -> CheckedWheel:
    """Make the private copy of a wheel, and check it.

    Raises:
        VerificationError, FormatError, InstallationError: As ``Copies.all``.
    """
    planned, wheel = item.planned, item.wheel
    if not _is_planned(wheel.source if isinstance(wheel, BuiltWheel) else wheel, planned):
        raise VerificationError(f"{wheel.filename} is not the file that was planned.")
    filename = check_filename(wheel.filename)
    name = parse_distribution(filename, planned.project)
    if name is None or name.kind is not Kind.WHEEL or name.version != planned.version:
        raise VerificationError(
            f"{filename} is not a wheel of {planned.project} {planned.version}."
        )
    copy = folder / filename
    copy_verified(wheel.path, copy, filename, wheel.sha256, wheel.size)
    return _read(copy, item)


def _is_planned(source: VerifiedFile | UserFile | UserDirectory, planned: PlannedFile) -> bool:
    if not isinstance(source, VerifiedFile):
        return source == planned.file
    meant = planned.signed
    return meant is not None and (source.filename, source.sha256) == (
        meant.filename,
        meant.sha256,
    )


def _read(copy: Path, item: HandOff) -> CheckedWheel:
    planned = item.planned
    try:
        with open_zip(copy) as archive:
            data = metadata_in(archive, copy.name)
            members = [member for member in archive.infolist() if not member.is_dir()]
            inside = _inside(archive, copy.name)
    except ARCHIVE_ERRORS as error:
        broken = FormatError(f"{copy.name} is not a readable archive: {error}")
        raise unreadable(copy, error, broken) from None
    if isinstance(item.wheel, BuiltWheel):
        _check_built(data, planned)
    elif data != planned.core_metadata:
        # pip #13983: the METADATA that was used to resolve must be the one that is installed.
        raise VerificationError(
            f"The METADATA in {copy.name} is not the one that its project publishes beside it.",
            meaning="The files of one release contradict each other. Nothing was installed.",
            remedy=f"Tell those who run {planned.file.url}.",
        )
    metadata = parse_core_metadata(data)
    if (metadata.project, metadata.version) != (planned.project, planned.version):
        raise VerificationError(
            f"{copy.name} says inside that it is {metadata.name} {metadata.version}."
        )
    sources = (
        Source(member.filename, member.file_size)
        for member in members
        if member.filename.endswith(".py")
    )
    return CheckedWheel(
        planned.project,
        metadata.name,
        str(metadata.version),
        inside.dist_info,
        tuple(member.filename for member in members),
        sum(member.file_size for member in members),
        inside.scripts,
        inside.unheld,
        Sources(copy, item.wheel.sha256, tuple(dict.fromkeys(sources))),
        planned.requested,
        direct_url_of(planned),
    )


def _inside(archive: zipfile.ZipFile, wheel: str) -> Inside:
    try:
        return look_inside(archive, wheel)
    except FormatError as error:
        # What was verified and what pip would read are not the same.
        raise VerificationError(
            error.what, meaning=f"{error.meaning} Nothing was installed.".strip()
        ) from None


def _check_built(data: bytes, planned: PlannedFile) -> None:
    """Check that a built wheel has the requirements that were resolved; other fields may differ.

    Raises:
        InstallationError: It has others.
    """
    built, resolved = parse_core_metadata(data), parse_core_metadata(planned.core_metadata)
    if set(built.requires_dist) != set(resolved.requires_dist):
        raise InstallationError(
            f"{planned.file.filename} builds a wheel that needs something else than it says.",
            meaning="Its requirements depend on when or where it is built.",
        )
