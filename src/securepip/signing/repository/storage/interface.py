"""The interface to the files that a repository serves: a folder, or an object store.

Names are those of the served paths (``formats.layout``): ``metadata/timestamp.json``,
``simple/flask/index.json``. Most names are new and keep their bytes for ever: ``write``, ``copy``
and ``link`` make them. The other names are those of the plain view and of the timestamp. The
timestamp is the commit point: only ``replace`` writes it, and only over the bytes that the writer
has read before.

A process can read at once what it has written. A storage may write in the background: ``settle``
waits for that, and raises the errors.

Rule: nothing outside of ``storage`` knows whether a name is a path.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from errno import EIO
from pathlib import Path
from typing import BinaryIO, Protocol

from securepip.dirs import way_out
from securepip.errors import RepositoryStateError
from securepip.formats.digests import Sha256


@dataclass(frozen=True)
class Stored:
    """One file of a storage.

    Attributes:
        name: Its name, relative to the storage or part that was listed.
        size: The bytes that deleting it would free; 0 if it is also there under another name.
        modified: When it was written (Unix time).
    """

    name: str
    size: int
    modified: float


@dataclass(frozen=True)
class Opened:
    """An open file.

    Attributes:
        stream: A seekable stream of its bytes.
        size: Its length in bytes.
        mark: A mark that changes whenever its bytes do.
    """

    stream: BinaryIO
    size: int
    mark: str


class StorageError(RepositoryStateError, OSError):
    """A storage cannot be used now. That says nothing about the files in it.

    Args:
        address: The address of the storage or of a file in it, for people, without secrets.
        what: What went wrong.
        meaning: What that means.
        remedy: What to do.
    """

    def __init__(self, address: str, what: str, meaning: str, remedy: str) -> None:
        RepositoryStateError.__init__(
            self, f"{address} cannot be used: {what}", meaning=meaning, remedy=remedy
        )
        self.errno, self.strerror, self.filename = EIO, what, address


def not_read(address: str, error: OSError) -> StorageError:
    """Make the error for a file that exists and cannot be read just now.

    Args:
        address: The address of the file, for people.
        error: The error of the system.
    """
    return StorageError(
        address,
        error.strerror or str(error),
        "This machine is the reason: what the file holds was not found to be wrong. Nothing was "
        "signed.",
        way_out([address]),
    )


class OvertakenError(RepositoryStateError):
    """Another process has replaced the file first, because it signs for the repository too."""

    def __init__(self, address: str, name: str) -> None:
        super().__init__(
            f"{address}: {name} was replaced by another process",
            meaning="Two processes sign for this repository. What the other one signed is current.",
            remedy="Run the same command again. If it keeps happening, let one of them stop.",
        )


class Reader(Protocol):
    """Reads a storage, or a part of one."""

    @property
    def address(self) -> str:
        """Where it is, for people."""

    def read(self, name: str) -> bytes:
        """The bytes of a file.

        Raises:
            FileNotFoundError: There is no such file.
            StorageError: It cannot be read just now. That does not mean that it is damaged.
        """

    def exists(self, name: str) -> bool:
        """Whether there is such a file."""

    def list(self, folder: str = "") -> Iterator[Stored]:
        """The files in ``folder`` and its subfolders, in no particular order.

        Raises:
            OSError: They cannot be listed.
        """

    def open(self, name: str) -> Opened:
        """Open a file. The caller closes its stream.

        Raises:
            FileNotFoundError: There is no such file, or it is a link that leads out of the storage.
            OSError: It cannot be read.
        """

    def here(self, name: str) -> Path | None:
        """The path of the file on this machine, to read it; None if it is not on this machine."""

    def fetch(self, name: str, path: Path, sha256: Sha256 | None = None) -> None:
        """Copy a file to ``path``, a new file on this machine.

        Raises:
            FileNotFoundError: There is no such file.
            OSError: It cannot be read, or ``path`` cannot be written.
            RepositoryStateError: It does not have the digest ``sha256``. ``path`` does not exist.
        """


class Storage(Reader, Protocol):
    """The served files of one repository. The repository's lock must be held to write."""

    @property
    def at_once(self) -> int:
        """How many requests can usefully run in parallel; 1 if each one is answered at once."""

    def below(self, folder: str) -> Reader:
        """The part of the storage below ``folder``; names are relative to it."""

    def holds(self, name: str, sha256: Sha256) -> bool:
        """Whether a file exists with that digest: after a power cut, it may lack its contents."""

    def create(self, name: str, data: bytes) -> bool:
        """Write a file that does not exist yet. False if it exists; then nothing is written."""

    def ensure(self, name: str, data: bytes) -> None:
        """As ``write``, but it may be free if the file has these bytes already."""

    def write(self, name: str, data: bytes, *, durable: bool = False) -> None:
        """Make ``data`` the contents of a file. The file never has only a part of it.

        It is durable after ``flush``. With ``durable``, it is on disk before it gets its name: that
        is for files that are current as soon as they exist.
        """

    def replace(self, name: str, data: bytes, before: bytes | None) -> None:
        """Replace a file durably, if its contents are ``before``; None if it must not exist.

        Raises:
            OvertakenError: It has other contents.
        """

    def prepare(self, key: str, data: bytes) -> None:
        """Keep ``data`` under a key for ``take``, until the lock is released.

        It does nothing if that would not make ``take`` faster.
        """

    def take(self, key: str, name: str) -> bool:
        """Make what was prepared under ``key`` the contents of ``name``; False if nothing was."""

    def copy(self, source: Path, name: str, sha256: Sha256) -> None:
        """Copy ``source``, a file on this machine, to ``name``, unless ``name`` has that digest.

        Raises:
            RepositoryStateError: ``source`` has another digest. ``name`` is as it was.
        """

    def link(self, existing: str, name: str, sha256: Sha256) -> None:
        """Make ``name`` a file with the bytes of ``existing``, without copying if possible.

        ``sha256`` is their digest. It may be free if ``name`` has these bytes already.
        """

    def delete(self, *names: str) -> None:
        """Delete files, if they exist. All earlier writes are finished before that."""

    def note(self, name: str) -> None:
        """Make the next ``flush`` wait for ``name`` too, which another process has written."""

    def clear(self) -> None:
        """Remove the files that killed runs have left unfinished."""

    def settle(self) -> None:
        """Return when all writes are visible to others.

        Raises:
            OSError: A file could not be written.
            OvertakenError: Another process has written other bytes under a new name.
        """

    def flush(self) -> None:
        """As ``settle``, and return when everything is durable."""
