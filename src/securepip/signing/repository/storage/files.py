"""Files that appear whole or not at all.

Rule: everything is first written under a temporary name in the ``state`` folder, which is never
served, and then renamed. Files get the modes that the operator's umask gives: a web server has to
read them.

Paths are text here, but for those of files that come from elsewhere: ``pathlib`` takes as long as
the system does for a small file, and keeps the parts of a million names together in a table.
"""

from __future__ import annotations

import errno
import hashlib
import os
import secrets
import shutil
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from io import FileIO
from pathlib import Path

from securepip.errors import RepositoryStateError
from securepip.formats.digests import CHUNK, Sha256, sha256_of_stream

_FEW = 256
_FSYNCS = 16
_NOT_THERE = {errno.ENOENT, errno.ENOTDIR, errno.EBADF, errno.ELOOP}


class Writer:
    """Writes files by way of one folder for what is not finished.

    Args:
        unfinished: That folder, on the file system that everything else is on.
    """

    def __init__(self, unfinished: Path) -> None:
        self._unfinished = str(unfinished)
        self._unsure: set[str] = set()

    def clear(self) -> None:
        """Remove what runs that were killed have left."""
        shutil.rmtree(self._unfinished, ignore_errors=True)

    def write(self, path: Path | str, data: bytes, *, durable: bool = False) -> None:
        """Make ``data`` the contents of ``path``.

        Args:
            path: The file.
            data: All of it.
            durable: Whether it is on the disk before it gets its name: for what is current as soon
                as it has that name, and may not be empty after a power cut. ``flush`` is for all
                else.
        """
        with self._new(path) as stream:
            _write(stream, data)
            if durable:
                os.fsync(stream.fileno())

    def prepare(self, key: str, data: bytes) -> None:
        """Write ``data`` where ``take`` finds it, until the next ``clear``."""
        path = f"{self._unfinished}/{key}"
        try:
            with self._open(path) as stream:
                _write(stream, data)
        except FileExistsError:
            return  # one key, one content
        except BaseException:
            with suppress(FileNotFoundError):
                os.unlink(path)
            raise

    def take(self, key: str, path: str) -> bool:
        """Make what was prepared under ``key`` the contents of ``path``, if there is such."""
        try:
            os.replace(f"{self._unfinished}/{key}", path)
        except FileNotFoundError:
            return False
        self.note(path)
        return True

    def flush(self) -> None:
        """Wait until all that was written since the last time is on the disk, names included.

        A few files are waited for alone: what other programs write at the moment may take long.
        """
        unsure, self._unsure = self._unsure, set()
        if len(unsure) > _FEW or os.name == "nt":
            flush()
            return
        with ThreadPoolExecutor(_FSYNCS) as pool:
            # The system writes those that come together in one go.
            list(pool.map(_fsync, sorted(unsure)))

    def note(self, path: str) -> None:
        """Let the next ``flush`` wait for ``path`` too, which a killed run may have written."""
        # It may have made the folder as well. Of many, all are waited for, and none is remembered.
        if len(self._unsure) <= _FEW:
            folder = _folder_of(path)
            self._unsure |= {path, folder, _folder_of(folder)}

    def copy(self, source: Path | str, path: str, sha256: Sha256) -> None:
        """Make the contents of ``source`` those of ``path``, if they have that digest.

        Raises:
            RepositoryStateError: They have another; ``path`` is as it was.
        """
        digest = hashlib.sha256()
        with open(source, "rb") as chunks, self._new(path) as stream:
            while chunk := chunks.read(CHUNK):
                digest.update(chunk)
                _write(stream, chunk)
            if digest.hexdigest() != sha256:
                raise RepositoryStateError(f"{source} changed while it was read: sha256 {sha256}")

    def link(self, existing: str, path: str, sha256: Sha256) -> None:
        """Make ``path`` the same file as ``existing``, or a copy where there are no hard links."""
        with suppress(OSError):  # a new name, as most are, needs no other one before
            os.link(existing, path)
            self.note(path)
            return
        temporary = self._temporary()
        try:
            self._begin()
            os.link(existing, temporary)
        except OSError:
            self.copy(existing, path, sha256)
            return
        self._name(temporary, path)
        # Renaming onto another name of the same file does nothing at all (POSIX).
        with suppress(FileNotFoundError):
            os.unlink(temporary)

    @contextmanager
    def _new(self, path: Path | str) -> Iterator[FileIO]:
        temporary = self._temporary()
        try:
            with self._open(temporary) as stream:
                yield stream
            self._name(temporary, str(path))
        except BaseException:
            with suppress(OSError):
                os.unlink(temporary)
            raise

    def _name(self, temporary: str, path: str) -> None:
        """Give a file that is finished its name."""
        try:
            os.replace(temporary, path)
        except FileNotFoundError:
            folder = _folder_of(path)
            while not exists(folder):
                self.note(folder)
                folder = _folder_of(folder)
            os.makedirs(_folder_of(path), exist_ok=True)
            os.replace(temporary, path)
        self.note(path)

    def _open(self, temporary: str) -> FileIO:
        try:
            return FileIO(temporary, "xb")
        except FileNotFoundError:
            self._begin()
            return FileIO(temporary, "xb")

    def _begin(self) -> None:
        Path(self._unfinished).mkdir(mode=0o700, parents=True, exist_ok=True)

    def _temporary(self) -> str:
        return f"{self._unfinished}/{secrets.token_hex(8)}"


def _folder_of(path: str) -> str:
    return os.path.dirname(path) or os.curdir


def _write(stream: FileIO, data: bytes) -> None:
    """Write all of ``data``: the system may take a part of it, most of all where a disk is full."""
    left = memoryview(data)
    while left:
        left = left[stream.write(left) :]


def exists(path: str) -> bool:
    """As ``Path.exists``: who may not look is told so, and not that nothing is there."""
    try:
        os.stat(path)
    except OSError as error:
        if error.errno in _NOT_THERE:
            return False
        raise
    except ValueError:  # a null character, which no name has
        return False
    return True


def has_sha256(path: Path | str, sha256: Sha256) -> bool:
    """Whether ``path`` is there with just these bytes: a power cut can leave a name without."""
    try:
        with open(path, "rb") as stream:
            return sha256_of_stream(stream)[0] == sha256
    except FileNotFoundError:
        return False


def save(chunks: Iterable[bytes], path: Path, sha256: Sha256 | None, shown: str) -> None:
    """Make ``chunks`` the contents of a new file, if they have that digest; None for any.

    Raises:
        OSError: The file cannot be written, or the chunks not be read.
        RepositoryStateError: They have another digest. There is no file.
    """
    digest = hashlib.sha256()
    try:
        with path.open("xb") as stream:
            for chunk in chunks:
                digest.update(chunk)
                stream.write(chunk)
        if sha256 not in (None, digest.hexdigest()):
            raise RepositoryStateError(
                f"{shown} is not the file that was stored there: its sha256 is not {sha256}",
                meaning="Somebody or something changed the repository's files.",
                remedy="Find out who, and restore the file from a backup.",
            )
    except BaseException:
        path.unlink(missing_ok=True)
        raise


def _fsync(path: str) -> None:
    """Wait until a file or folder is on the disk; one that is gone needs not be."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def flush() -> None:
    """Wait until what was written is on the disk, where the system offers that."""
    if hasattr(os, "sync"):
        os.sync()
