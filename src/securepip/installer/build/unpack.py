"""Source distributions, unpacked from private copies.

Rule: nothing is unpacked out of the folder that it belongs in, nothing through a link, and nothing
without bounds. Modes are pip's: those of a new file, and executable where the archive says so.

It does not depend on ``tarfile.data_filter`` (PEP 706): Pythons that are in use, such as that of
Debian 12, have none, and several of those that have one let links lead outside.
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
from securepip.formats.core_metadata import ARCHIVE_ERRORS, BoundedTarInfo
from securepip.formats.digests import CHUNK
from securepip.formats.layout import check_filename
from securepip.index.types import UserFile, VerifiedFile
from securepip.installer.copies import copy_verified

_MAX_MEMBERS = 500_000
_MAX_UNPACKED_BYTES = 8 << 30
_EXECUTABLE = stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH
_log = logging.getLogger(__name__)


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
            _unpack_zip(copy, _Folder(unpacked))
        else:
            _unpack_tar(copy, _Folder(unpacked))
    except ARCHIVE_ERRORS as error:
        raise FormatError(f"{copy.name} cannot be unpacked: {error}") from None
    found = list(unpacked.iterdir())
    alone = len(found) == 1 and found[0].is_dir() and not found[0].is_symlink()
    # As pip: an old archive may hold its files without a folder around them.
    return found[0] if alone else unpacked


class _Folder:
    """A new folder that an archive is unpacked into, and into nothing else.

    All of its methods raise ``ValueError`` for a member that leads out of it, and when it becomes
    larger than any archive that is made to be used.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._members = self._bytes = 0
        self._links: list[Path] = []

    def add_folder(self, name: str) -> None:
        """Make a folder, with those that it lies in."""
        self._count()
        self._make(self._place(name))

    def add_file(self, name: str, stream: IO[bytes], *, executable: bool) -> Path:
        """Write a file; it replaces what an earlier member has put there."""
        self._count()
        path = self._free(name)
        with path.open("xb") as written:
            while chunk := stream.read(CHUNK):
                # Counted here: what a header says of a length need not be true.
                self._bytes += len(chunk)
                if self._bytes > _MAX_UNPACKED_BYTES:
                    raise ValueError(f"more than {_MAX_UNPACKED_BYTES} bytes")
                written.write(chunk)
            if executable:
                mode = stat.S_IMODE(os.fstat(written.fileno()).st_mode)
                path.chmod(mode | _EXECUTABLE)
        return path

    def add_link(self, name: str, target: str) -> None:
        """Make a symbolic link; ``check_links`` has to be called after all members."""
        self._count()
        path = self._free(name)
        path.symlink_to(target)
        self._links.append(path)

    def check_links(self) -> None:
        """Refuse links that lead outside, alone or by way of others, be there something or not."""
        root = os.path.realpath(self._root)
        for link in self._links:
            # Not strict: what is not there yet can be made by the build, and must be inside too.
            leads_to = os.path.realpath(link)
            target = os.path.normpath(link.parent / link.readlink())
            for path, folder in ((leads_to, root), (target, str(self._root))):
                if not Path(path).is_relative_to(folder):
                    raise ValueError(f"the link {link.name!r} leads out of it")

    def _count(self) -> None:
        self._members += 1
        if self._members > _MAX_MEMBERS:
            raise ValueError(f"more than {_MAX_MEMBERS} files")

    def _place(self, name: str) -> Path:
        # A name that starts with a slash counts from here, as in every tool that unpacks.
        path = Path(os.path.normpath(self._root / name.lstrip("/")))
        if not path.is_relative_to(self._root):
            raise ValueError(f"the member {name!r} lies outside of it")
        return path

    def _free(self, name: str) -> Path:
        """Where a member goes, with the folders that it lies in, and nothing there."""
        path = self._place(name)
        self._make(path.parent)
        if path.is_symlink() or path.is_file():
            path.unlink()
            self._links = [link for link in self._links if link != path]
        return path

    def _make(self, folder: Path) -> None:
        """Make folders one by one: an earlier member may have put a link in the place of one."""
        place = self._root
        for part in folder.relative_to(self._root).parts:
            place /= part
            if place.is_symlink():
                raise ValueError(f"a member lies behind the link {part!r}")
            place.mkdir(exist_ok=True)


def _unpack_tar(path: Path, folder: _Folder) -> None:
    with tarfile.open(path, tarinfo=BoundedTarInfo, encoding="utf-8") as tar:
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
    try:
        # Of a hard link, what it links to: a copy, so that nothing is shared.
        stream = tar.extractfile(member)
    except KeyError as error:
        # As pip: some archives have hard links to names that they do not have.
        _log.warning("In %s the member %s is invalid: %s", archive, member.name, error)
        return
    if stream is None:
        raise ValueError(f"the member {member.name!r} links to no file")
    with stream:
        written = folder.add_file(member.name, stream, executable=bool(member.mode & _EXECUTABLE))
    # Some builds look at which of two files is the newer one.
    with suppress(OverflowError, tarfile.ExtractError):
        tar.utime(member, str(written))


def _unpack_zip(path: Path, folder: _Folder) -> None:
    with zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            if member.is_dir():
                folder.add_folder(member.filename)
                continue
            mode = member.external_attr >> 16
            executable = stat.S_ISREG(mode) and bool(mode & _EXECUTABLE)
            with archive.open(member) as stream:
                folder.add_file(member.filename, stream, executable=executable)
