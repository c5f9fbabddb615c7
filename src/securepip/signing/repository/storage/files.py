"""Files that appear whole or not at all.

Rule: everything is first written under a temporary name in the ``state`` folder, which is never
served, and then renamed. Files get the modes that the operator's umask gives: a web server has to
read them.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from securepip.errors import RepositoryStateError
from securepip.formats.digests import CHUNK, Sha256, sha256_of_stream


class Writer:
    """Writes files by way of one folder for what is not finished.

    Args:
        unfinished: That folder, on the file system that everything else is on.
    """

    def __init__(self, unfinished: Path) -> None:
        self._unfinished = unfinished

    def clear(self) -> None:
        """Remove what runs that were killed have left."""
        shutil.rmtree(self._unfinished, ignore_errors=True)

    def write(self, path: Path, data: bytes, *, durable: bool = False) -> None:
        """Make ``data`` the contents of ``path``.

        Args:
            path: The file.
            data: All of it.
            durable: Whether it is on the disk before it gets its name: for what is current as soon
                as it has that name, and may not be empty after a power cut. ``flush`` is for all
                else.
        """
        with self._new(path) as stream:
            stream.write(data)
            if durable:
                stream.flush()
                os.fsync(stream.fileno())

    def copy(self, source: Path, path: Path, sha256: Sha256) -> None:
        """Make the contents of ``source`` those of ``path``, if they have that digest.

        Raises:
            RepositoryStateError: They have another; ``path`` is as it was.
        """
        digest = hashlib.sha256()
        with source.open("rb") as chunks, self._new(path) as stream:
            while chunk := chunks.read(CHUNK):
                digest.update(chunk)
                stream.write(chunk)
            if digest.hexdigest() != sha256:
                raise RepositoryStateError(f"{source} changed while it was read: sha256 {sha256}")

    def link(self, existing: Path, path: Path, sha256: Sha256) -> None:
        """Make ``path`` the same file as ``existing``, or a copy where there are no hard links."""
        temporary = self._temporary()
        try:
            os.link(existing, temporary)
        except OSError:
            self.copy(existing, path, sha256)
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.replace(path)
        # Renaming onto another name of the same file does nothing at all (POSIX).
        temporary.unlink(missing_ok=True)

    @contextmanager
    def _new(self, path: Path) -> Iterator[BinaryIO]:
        temporary = self._temporary()
        try:
            with temporary.open("xb") as stream:
                yield stream
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary.replace(path)
        except BaseException:
            with suppress(OSError):
                temporary.unlink()
            raise

    def _temporary(self) -> Path:
        self._unfinished.mkdir(mode=0o700, parents=True, exist_ok=True)
        return self._unfinished / secrets.token_hex(8)


def has_sha256(path: Path, sha256: Sha256) -> bool:
    """Whether ``path`` is there with just these bytes: a power cut can leave a name without."""
    try:
        with path.open("rb") as stream:
            return sha256_of_stream(stream)[0] == sha256
    except FileNotFoundError:
        return False


def flush() -> None:
    """Wait until what was written is on the disk, where the system offers that."""
    if hasattr(os, "sync"):
        os.sync()
