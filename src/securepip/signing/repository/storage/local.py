"""A folder on this machine as the storage of a repository."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from securepip.formats.digests import CHUNK, Sha256, sha256_of
from securepip.signing.repository.storage.files import Writer, exists, has_sha256, save
from securepip.signing.repository.storage.interface import Opened, OvertakenError, Stored, not_read


class Folder:
    """Reads a folder. Implements ``Reader``."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._address = str(folder)

    @property
    def address(self) -> str:
        """As ``Reader.address``."""
        return self._address

    def read(self, name: str) -> bytes:
        """As ``Reader.read``."""
        try:
            with open(self._path(name), "rb") as stream:
                return stream.read()
        except FileNotFoundError:
            raise
        except OSError as error:
            raise not_read(f"{self.address}/{name}", error) from None

    def exists(self, name: str) -> bool:
        """As ``Reader.exists``."""
        return exists(self._path(name))

    def list(self, folder: str = "") -> Iterator[Stored]:
        """As ``Reader.list``."""
        try:
            entries = sorted(os.scandir(self._path(folder)), key=lambda entry: entry.name)
        except (FileNotFoundError, NotADirectoryError):
            return
        for entry in entries:
            name = f"{folder}/{entry.name}" if folder else entry.name
            if entry.is_dir():
                yield from self.list(name)
            else:
                status = entry.stat()
                size = status.st_size if status.st_nlink == 1 else 0
                yield Stored(name, size, status.st_mtime)

    def open(self, name: str) -> Opened:
        """As ``Reader.open``. Links may not lead out of the top folder that they are in."""
        kind, _, rest = name.partition("/")
        # A top folder may itself be a link to another disk.
        part = (self._folder / kind).resolve()
        path = part.joinpath(rest).resolve(strict=True)
        if not path.is_relative_to(part) or not stat.S_ISREG(path.stat().st_mode):
            raise FileNotFoundError(name)
        stream = path.open("rb")
        status = os.fstat(stream.fileno())
        return Opened(stream, status.st_size, f"{status.st_mtime_ns:x}-{status.st_size:x}")

    def here(self, name: str) -> Path | None:
        """As ``Reader.here``."""
        return self._folder / name

    def fetch(self, name: str, path: Path, sha256: Sha256 | None = None) -> None:
        """As ``Reader.fetch``."""
        with open(self._path(name), "rb") as stream:
            save(iter(lambda: stream.read(CHUNK), b""), path, sha256, f"{self.address}/{name}")

    def _path(self, name: str) -> str:
        return f"{self._address}/{name}"


class LocalStorage(Folder):
    """Reads and writes a folder. Implements ``Storage``.

    Args:
        folder: The folder of the repository.
        unfinished: A folder on the same file system for unfinished files, which is not served.

    Attributes:
        at_once: As ``Storage.at_once``.
    """

    at_once = 1

    def __init__(self, folder: Path, unfinished: Path) -> None:
        super().__init__(folder)
        self._writer = Writer(unfinished)

    def below(self, folder: str) -> Folder:
        """As ``Storage.below``."""
        return Folder(self._folder / folder)

    def holds(self, name: str, sha256: Sha256) -> bool:
        """As ``Storage.holds``."""
        path = self._path(name)
        if not has_sha256(path, sha256):
            return False
        self._writer.note(path)
        return True

    def create(self, name: str, data: bytes) -> bool:
        """As ``Storage.create``. The repository's lock keeps other processes from interfering."""
        if self.exists(name):
            return False
        self.write(name, data)
        return True

    def ensure(self, name: str, data: bytes) -> None:
        """As ``Storage.ensure``."""
        if not self.holds(name, sha256_of(data)):
            self.write(name, data)

    def write(self, name: str, data: bytes, *, durable: bool = False) -> None:
        """As ``Storage.write``."""
        self._writer.write(self._path(name), data, durable=durable)

    def replace(self, name: str, data: bytes, before: bytes | None) -> None:
        """As ``Storage.replace``. The repository's lock keeps other processes from interfering."""
        path = self._path(name)
        try:
            with open(path, "rb") as stream:
                current = stream.read()
        except FileNotFoundError:
            current = None
        if current != before:
            raise OvertakenError(self.address, name)
        self._writer.write(path, data, durable=True)

    def prepare(self, key: str, data: bytes) -> None:
        """As ``Storage.prepare``."""
        self._writer.prepare(key, data)

    def take(self, key: str, name: str) -> bool:
        """As ``Storage.take``."""
        return self._writer.take(key, self._path(name))

    def copy(self, source: Path, name: str, sha256: Sha256) -> None:
        """As ``Storage.copy``."""
        if not self.holds(name, sha256):
            self._writer.copy(source, self._path(name), sha256)

    def link(self, existing: str, name: str, sha256: Sha256) -> None:
        """As ``Storage.link``."""
        source, path = self._path(existing), self._path(name)
        if exists(path) and (os.path.samefile(path, source) or has_sha256(path, sha256)):
            self._writer.note(path)
        else:
            self._writer.link(source, path, sha256)

    def delete(self, *names: str) -> None:
        """As ``Storage.delete``."""
        for name in names:
            with suppress(FileNotFoundError):
                os.unlink(self._path(name))

    def note(self, name: str) -> None:
        """As ``Storage.note``."""
        self._writer.note(self._path(name))

    def clear(self) -> None:
        """As ``Storage.clear``."""
        self._writer.clear()

    def settle(self) -> None:
        """As ``Storage.settle``: nothing is written in the background."""

    def flush(self) -> None:
        """As ``Storage.flush``."""
        self._writer.flush()
