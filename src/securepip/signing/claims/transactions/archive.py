"""Transactions as files: one zip with ``metadata/`` and ``targets/``.

    metadata/project.<name>.json            the project's role, signed
    metadata/keys.json                      only where keys change, or a project is claimed
    targets/simple/<name>/index.json        the page
    targets/packages/<name>/<filename>      new distributions, and
    targets/packages/<name>/<filename>.metadata

Rule: the name of a member is compared with the few expected names, and never used as a path to
write to. Every read has a limit, that of the list of members included, so a zip bomb is an error.

Source: PEP 480, "Snapshot Process".
"""

from __future__ import annotations

import os
import tempfile
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from io import FileIO
from pathlib import Path

from packaging.utils import NormalizedName

from securepip.errors import FormatError, SecurepipError
from securepip.formats.core_metadata import ARCHIVE_ERRORS, unreadable
from securepip.formats.digests import CHUNK
from securepip.formats.layout import (
    METADATA_DIR,
    METADATA_SUFFIX,
    PACKAGES_DIR,
    check_filename,
    page_target,
    project_of_role,
    project_role,
)

KEYS_MEMBER = f"{METADATA_DIR}/keys.json"
TARGETS_DIR = "targets"
MAX_ROLE_BYTES = 4 << 20
"""The longest metadata file of a transaction: other clients of TUF read 5 MB."""

_MAX_MEMBERS = 10_000
_MAX_READ = 32 << 20
_MAX_RATIO = 50
_MOMENT = (1980, 1, 1, 0, 0, 0)
_ERRORS = (*ARCHIVE_ERRORS, NotImplementedError)


class _Bounded(FileIO):
    """A file that refuses to read too much at once.

    ``zipfile`` reads the list of members in one piece, as long as the archive says that it is. A
    hostile archive could fill the memory that way.
    """

    def read(self, size: int | None = -1, /) -> bytes:
        if size is None or size < 0:
            size = _MAX_READ + 1
        if size > _MAX_READ + 1:
            raise zipfile.BadZipFile("its list of members is too long")
        return super().read(size) or b""


class Archive:
    """A transaction that is open for reading.

    Attributes:
        path: The file.
        project: The project whose role it holds.
    """

    def __init__(self, path: Path, archive: zipfile.ZipFile) -> None:
        self.path = path
        self._archive = archive
        self._members = self._list()
        self.project = self._only_project()

    @property
    def filenames(self) -> list[str]:
        """The distributions that have a member here, or whose ``.metadata`` file has one."""
        folder = _packages(self.project)
        names = [name.removeprefix(folder) for name in self._members if name.startswith(folder)]
        return [name.removesuffix(METADATA_SUFFIX) for name in names]

    def role(self) -> bytes:
        """The project's role.

        Raises:
            FormatError: It is missing, damaged, or longer than ``MAX_ROLE_BYTES``.
        """
        return self._read(role_member(self.project), MAX_ROLE_BYTES)

    def statement(self) -> bytes | None:
        """The statement about the project's keys; None if there is none.

        Raises:
            FormatError: It is damaged, or longer than ``MAX_ROLE_BYTES``.
        """
        return self._read(KEYS_MEMBER, MAX_ROLE_BYTES) if KEYS_MEMBER in self._members else None

    def page(self, length: int) -> bytes:
        """The project's page.

        Args:
            length: Its signed length, in bytes.

        Raises:
            FormatError: It is missing, damaged, or longer.
        """
        return self._read(target_member(page_target(self.project)), length)

    def core_metadata(self, filename: str, limit: int) -> bytes | None:
        """The ``.metadata`` file of a distribution; None if there is none.

        Raises:
            FormatError: It has more than ``limit`` bytes, or is damaged.
        """
        member = f"{_packages(self.project)}{filename}{METADATA_SUFFIX}"
        return self._read(member, limit) if member in self._members else None

    def extract(self, filename: str, length: int, path: Path) -> None:
        """Copy a distribution to ``path``.

        Args:
            filename: Its name.
            length: Its signed length, in bytes.
            path: A file that does not exist yet.

        Raises:
            FormatError: It is missing, damaged, or longer.
        """
        member_name = f"{_packages(self.project)}{filename}"
        info = self._members.get(member_name)
        if info is not None and length > _MAX_RATIO * (info.compress_size + _MAX_RATIO):
            # A zip bomb could fill the disk. Distributions are compressed already, so a real one
            # does not become this much smaller.
            raise FormatError(f"{filename} in {self.path} is compressed to a fraction: a zip bomb")
        try:
            with (
                self._open(member_name) as member,
                path.open("xb") as copy,
            ):
                left = length
                while chunk := member.read(min(CHUNK, left + 1)):
                    left -= len(chunk)
                    if left < 0:
                        raise FormatError(f"{filename} in {self.path} has more than {length} bytes")
                    copy.write(chunk)
        except _ERRORS as error:
            raise self._damaged(error) from None

    def _list(self) -> dict[str, zipfile.ZipInfo]:
        infos = [info for info in self._archive.infolist() if not info.is_dir()]
        if len(infos) > _MAX_MEMBERS:
            raise FormatError(f"{self.path} has more than {_MAX_MEMBERS} members")
        members = {info.filename: info for info in infos}
        if len(members) != len(infos):
            # Of two members with one name, one could be checked and the other one copied.
            raise FormatError(f"{self.path} has two members of one name")
        return members

    def _only_project(self) -> NormalizedName:
        """The project whose role is in the archive; all other members must be of that project."""
        roles = [
            name.removeprefix(f"{METADATA_DIR}/").removesuffix(".json")
            for name in self._members
            if name.startswith(f"{METADATA_DIR}/") and name != KEYS_MEMBER
        ]
        project = project_of_role(roles[0]) if len(roles) == 1 else None
        if project is None:
            raise FormatError(f"{self.path} holds no role of a project, or more than one")
        expected = {
            KEYS_MEMBER,
            role_member(project),
            target_member(page_target(project)),
        }
        folder = _packages(project)
        for name in self._members.keys() - expected:
            if not name.startswith(folder):
                raise FormatError(f"{self.path} holds what is not of {project}: {name!r:.200}")
            check_filename(name.removeprefix(folder).removesuffix(METADATA_SUFFIX))
        return project

    def _read(self, member: str, limit: int) -> bytes:
        try:
            with self._open(member) as stream:
                data = stream.read(limit + 1)
        except _ERRORS as error:
            raise self._damaged(error) from None
        if len(data) > limit:
            raise FormatError(f"{member} in {self.path} has more than {limit} bytes")
        return data

    def _open(self, member: str) -> zipfile.ZipExtFile:
        if member not in self._members:
            raise FormatError(f"{self.path} holds no {member}")
        info = self._members[member]
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            # With the other methods, `zipfile` unpacks a kilobyte into gigabytes of memory at once.
            raise FormatError(f"{member} in {self.path} is compressed in an unusual way")
        return self._archive.open(info)  # type: ignore[return-value] # for reading

    def _damaged(self, error: Exception) -> SecurepipError:
        return unreadable(self.path, error, FormatError(f"{self.path} cannot be read: {error}"))


@contextmanager
def open_archive(path: Path) -> Iterator[Archive]:
    """Open a transaction.

    Raises:
        FormatError: ``path`` is no transaction.
    """
    if not path.is_file():
        # Reading a pipe could wait for ever.
        why = "it is no file" if path.exists() else "there is no such file"
        raise FormatError(f"{path} cannot be read as a transaction: {why}")
    with ExitStack() as opened:
        try:
            file = opened.enter_context(_Bounded(path))
            archive = Archive(path, opened.enter_context(zipfile.ZipFile(file)))
        except _ERRORS as error:
            broken = FormatError(f"{path} cannot be read as a transaction: {error}")
            raise unreadable(path, error, broken) from None
        yield archive


def write_archive(path: Path, members: Iterable[tuple[str, bytes | Path]]) -> None:
    """Write a transaction, and replace one that exists.

    Args:
        path: The file to write.
        members: The name of each member, and its contents: bytes, or a file.

    Raises:
        FormatError: It cannot be written.
    """
    try:
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=".securepip-")
        temporary = Path(name)
        try:
            with os.fdopen(descriptor, "wb") as file, zipfile.ZipFile(file, "w") as archive:
                for member, content in members:
                    info = zipfile.ZipInfo(member, _MOMENT)
                    info.external_attr = 0o100644 << 16
                    if isinstance(content, bytes):
                        archive.writestr(info, content)
                        continue
                    info.file_size = content.stat().st_size
                    with content.open("rb") as source, archive.open(info, "w") as target:
                        while chunk := source.read(CHUNK):
                            target.write(chunk)
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise FormatError(f"{path} cannot be written: {error.strerror}") from None


def _packages(project: NormalizedName) -> str:
    return f"{TARGETS_DIR}/{PACKAGES_DIR}/{project}/"


def role_member(project: NormalizedName) -> str:
    """The name of the member that holds the project's role."""
    return f"{METADATA_DIR}/{project_role(project)}.json"


def target_member(target_path: str) -> str:
    """The name of the member that holds a target."""
    return f"{TARGETS_DIR}/{target_path}"
