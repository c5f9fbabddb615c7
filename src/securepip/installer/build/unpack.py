"""Unpacks source distributions from private copies.

Rule: nothing is unpacked outside of the new folder, or through a link, and there are limits on
members and bytes. Modes are pip's: those of a new file, executable if the archive says so.

It does not use ``tarfile.data_filter`` (PEP 706): Pythons in use, such as that of Debian 12, do not
have it, and several versions of it let links lead outside.
"""

from __future__ import annotations

import logging
import os
import stat
import tarfile
import zipfile
from contextlib import suppress
from pathlib import Path
from typing import IO

from securepip.errors import FormatError
from securepip.formats.core_metadata import ARCHIVE_ERRORS, open_tar, open_zip, unreadable
from securepip.formats.digests import CHUNK
from securepip.formats.layout import check_filename
from securepip.index.types import UserFile, VerifiedFile
from securepip.installer.copies import copy_verified

_MAX_MEMBERS = 500_000
_MAX_LINKS = 10_000
_MAX_UNPACKED_BYTES = 8 << 30
_EXECUTABLE = stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH
_log = logging.getLogger(__name__)


def unpack_sdist(sdist: VerifiedFile | UserFile, folder: Path) -> Path:
    """Unpack a private copy of the sdist, and return its top folder.

    Raises:
        VerificationError: The stored file is not what was verified.
        FormatError: It cannot be unpacked safely.
        SecurepipError: This machine cannot read it now.
    """
    copy = folder / check_filename(sdist.filename)
    copy_verified(sdist.path, copy, sdist.filename, sdist.sha256, sdist.size)
    unpacked = folder / "source"
    unpacked.mkdir()
    try:
        # As in pip. `is_zipfile` is also false if the file cannot be read now.
        if copy.suffix.lower() == ".zip" or zipfile.is_zipfile(copy):
            _unpack_zip(copy, _Folder(unpacked))
        else:
            _unpack_tar(copy, _Folder(unpacked))
    except ARCHIVE_ERRORS as error:
        broken = FormatError(f"{copy.name} cannot be unpacked: {error}")
        raise unreadable(copy, error, broken) from None
    entries = list(unpacked.iterdir())
    alone = len(entries) == 1 and entries[0].is_dir() and not entries[0].is_symlink()
    # As in pip: an old archive may have its files at the top.
    return entries[0] if alone else unpacked


class _Folder:
    """A new folder for the members of an archive, which never lead outside of it.

    All methods raise ``ValueError`` for a member that would lead outside, and if the archive
    exceeds limits that no real one reaches. The time of a call does not grow with the number of
    members, because a hostile archive of some kilobytes can have hundreds of thousands.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._members = self._bytes = 0
        self._folders = {root}
        self._files: set[Path] = set()
        self._links: set[Path] = set()
        self._targets: dict[Path, Path | None] = {}

    def add_folder(self, name: str) -> None:
        """Make a folder and its parents."""
        self._count()
        self._make(self._place(name))

    def add_file(self, name: str, stream: IO[bytes], *, executable: bool) -> Path:
        """Write a file, in place of an earlier member of that name."""
        self._count()
        path = self._free(name)
        with path.open("xb") as written:
            while chunk := stream.read(CHUNK):
                # Bytes are counted here, because the length in a header may be wrong.
                self._bytes += len(chunk)
                if self._bytes > _MAX_UNPACKED_BYTES:
                    raise ValueError(f"more than {_MAX_UNPACKED_BYTES} bytes")
                written.write(chunk)
            if executable:
                mode = stat.S_IMODE(os.fstat(written.fileno()).st_mode)
                path.chmod(mode | _EXECUTABLE)
        self._files.add(path)
        return path

    def open_file(self, name: str) -> IO[bytes] | None:
        """The file that an earlier member of that name made; None if there is none."""
        path = self._place(name)
        return path.open("rb") if path in self._files else None

    def add_link(self, name: str, target: str) -> None:
        """Make a symbolic link. ``check_links`` must be called after the last member."""
        self._count()
        path = self._free(name)
        path.symlink_to(target)
        self._links.add(path)
        if len(self._links) > _MAX_LINKS:
            raise ValueError(f"more than {_MAX_LINKS} links")

    def check_links(self) -> None:
        """Refuse links that lead outside, also through other links, and also to missing files."""
        for link in self._links:
            self._target(link)
            if not Path(os.path.normpath(link.parent / link.readlink())).is_relative_to(self._root):
                raise ValueError(f"the link {link.name!r} leads out of it")

    def _target(self, link: Path) -> Path:
        """Where a link leads, following other links. The build could make what is missing yet."""
        if link in self._targets:
            known = self._targets[link]
            if known is None:
                raise ValueError(f"the link {link.name!r} leads to itself")
            return known
        self._targets[link] = None
        place = link.parent
        for part in link.readlink().parts:
            place = place.parent if part == ".." else place / part
            if place.is_symlink():
                place = self._target(place)
            if not place.is_relative_to(self._root):
                raise ValueError(f"the link {link.name!r} leads out of it")
        self._targets[link] = place
        return place

    def _count(self) -> None:
        self._members += 1
        if self._members > _MAX_MEMBERS:
            raise ValueError(f"more than {_MAX_MEMBERS} files")

    def _place(self, name: str) -> Path:
        # As in other tools, an absolute name is relative to this folder.
        path = Path(os.path.normpath(self._root / name.lstrip("/")))
        if not path.is_relative_to(self._root):
            raise ValueError(f"the member {name!r} lies outside of it")
        return path

    def _free(self, name: str) -> Path:
        """The path of a new member: its parents are made, and an earlier member is removed."""
        path = self._place(name)
        if path == self._root:
            raise ValueError(f"the member {name!r} is no folder, and has no name of its own")
        self._make(path.parent)
        if path.is_symlink() or path.is_file():
            path.unlink()
            self._links.discard(path)
            self._files.discard(path)
        return path

    def _make(self, folder: Path) -> None:
        """Make a folder and its parents, unless an earlier member made one of them a link."""
        missing = []
        while folder not in self._folders:
            missing.append(folder)
            folder = folder.parent
        for place in reversed(missing):
            if place.is_symlink():
                raise ValueError(f"a member lies behind the link {place.name!r}")
            self._count()
            place.mkdir(exist_ok=True)
            self._folders.add(place)


def _unpack_tar(path: Path, folder: _Folder) -> None:
    with open_tar(path, encoding="utf-8") as tar:
        for member in tar:
            if member.isdir():
                folder.add_folder(member.name)
            elif member.issym():
                folder.add_link(member.name, member.linkname)
            elif member.isfile() or member.islnk():
                _unpack_file(tar, member, folder, path.name)
            else:
                raise ValueError(f"the member {member.name!r} is a special file")
    folder.check_links()


def _unpack_file(
    tar: tarfile.TarFile, member: tarfile.TarInfo, folder: _Folder, archive: str
) -> None:
    # A hard link becomes a copy of its target, so that no two files share contents. The target is
    # read from the disk, because reading it from the archive would decompress the archive again.
    stream = folder.open_file(member.linkname) if member.islnk() else tar.extractfile(member)
    if stream is None:
        # As in pip: some archives have hard links to missing members.
        _log.warning("In %s the member %s is invalid: there is no %s", archive, member.name,
                     member.linkname)  # fmt: skip
        return
    with stream:
        written = folder.add_file(member.name, stream, executable=bool(member.mode & _EXECUTABLE))
    # Some builds compare the times of files.
    with suppress(OverflowError, tarfile.ExtractError):
        tar.utime(member, str(written))


def _unpack_zip(path: Path, folder: _Folder) -> None:
    with open_zip(path) as archive:
        for member in archive.infolist():
            if member.is_dir():
                folder.add_folder(member.filename)
                continue
            mode = member.external_attr >> 16
            executable = stat.S_ISREG(mode) and bool(mode & _EXECUTABLE)
            with archive.open(member) as stream:
                folder.add_file(member.filename, stream, executable=executable)
