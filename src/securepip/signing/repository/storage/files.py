"""Writes files so that each appears whole or not at all.

Rule: a file is first written under a temporary name in the ``state`` folder, which is never served,
and then renamed. Files get the modes of the operator's umask, because a web server has to read
them.

Most paths are strings here: for a small file, ``pathlib`` would take as much time as the system,
and it keeps the parts of all names in a table, for example those of a million files.
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
    """Writes files by way of a folder for unfinished ones.

    Args:
        unfinished: That folder. It has to be on the same file system as the files.
    """

    def __init__(self, unfinished: Path) -> None:
        self._unfinished = str(unfinished)
        self._unsure: set[str] = set()

    def clear(self) -> None:
        """Remove the files that killed runs have left unfinished."""
        shutil.rmtree(self._unfinished, ignore_errors=True)

    def write(self, path: Path | str, data: bytes, *, durable: bool = False) -> None:
        """Make ``data`` the contents of ``path``.

        Args:
            path: The file.
            data: Its contents.
            durable: Whether the contents are on disk before the file gets its name. That is for
                files that are current as soon as they have that name, and must not be empty after a
                power cut. For all other files, ``flush`` is enough.
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
        """Make what was prepared under ``key`` the contents of ``path``; whether there was any."""
        try:
            os.replace(f"{self._unfinished}/{key}", path)
        except FileNotFoundError:
            return False
        self.note(path)
        return True

    def flush(self) -> None:
        """Wait until all files that were written since the last time are on disk under their names.

        If there are only a few, each of them is flushed by itself: a flush of the whole system also
        waits for what other programs write.
        """
        unsure, self._unsure = self._unsure, set()
        if len(unsure) > _FEW or os.name == "nt":
            flush()
            return
        with ThreadPoolExecutor(_FSYNCS) as pool:
            # The system combines flushes that are requested at the same time.
            list(pool.map(_fsync, sorted(unsure)))

    def note(self, path: str) -> None:
        """Make the next ``flush`` wait for ``path`` too, which a killed run may have written."""
        # The killed run may have made its folder too. If there are many paths, ``flush`` flushes
        # the whole system, and no more of them are collected.
        if len(self._unsure) <= _FEW:
            folder = _folder_of(path)
            self._unsure |= {path, folder, _folder_of(folder)}

    def copy(self, source: Path | str, path: str, sha256: Sha256) -> None:
        """Copy ``source`` to ``path``, if it has that digest.

        Raises:
            RepositoryStateError: It has another digest. ``path`` is as it was.
        """
        digest = hashlib.sha256()
        with open(source, "rb") as chunks, self._new(path) as stream:
            while chunk := chunks.read(CHUNK):
                digest.update(chunk)
                _write(stream, chunk)
            if digest.hexdigest() != sha256:
                raise RepositoryStateError(f"{source} changed while it was read: sha256 {sha256}")

    def link(self, existing: str, path: str, sha256: Sha256) -> None:
        """Make ``path`` a hard link to ``existing``, or a copy if there are no hard links."""
        with suppress(OSError):  # most names are new, and need no temporary name
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
        """Rename a finished file to its name."""
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
    """Write all of ``data``. The system may write only a part, for example on a full disk."""
    left = memoryview(data)
    while left:
        left = left[stream.write(left) :]


def exists(path: str) -> bool:
    """Whether ``path`` exists. If this process may not look there, the error is raised."""
    try:
        os.stat(path)
    except OSError as error:
        if error.errno in _NOT_THERE:
            return False
        raise
    except ValueError:  # no file name has a null character
        return False
    return True


def has_sha256(path: Path | str, sha256: Sha256) -> bool:
    """Whether ``path`` exists with that digest: after a power cut, a file may lack its contents."""
    try:
        with open(path, "rb") as stream:
            return sha256_of_stream(stream)[0] == sha256
    except FileNotFoundError:
        return False


def save(chunks: Iterable[bytes], path: Path, sha256: Sha256 | None, shown: str) -> None:
    """Write ``chunks`` to a new file, and check their digest.

    Args:
        chunks: The contents.
        path: The file.
        sha256: The digest that the contents must have; None for any.
        shown: Where they come from, for the error.

    Raises:
        OSError: The file cannot be written, or the chunks cannot be read.
        RepositoryStateError: They have another digest. The file does not exist.
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
    """Wait until a file or folder is on disk. One that no longer exists is skipped."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def flush() -> None:
    """Wait until everything that was written is on disk, if the system offers that."""
    if hasattr(os, "sync"):
        os.sync()
