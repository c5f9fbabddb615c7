"""Everything that a repository serves goes through this: a folder, or an object store.

Names are those of the wire (``formats.layout``): ``metadata/timestamp.json``,
``simple/flask/index.json``. Most names are new and stand for their bytes for ever: ``write``,
``copy`` and ``link`` give them. The others are the plain view, which follows what is signed, and
the timestamp. That one is the commit point: only ``replace`` writes it, and only over the bytes
that the writer has seen.

What was written is read back at once by who has written it. Where the lock keeps nobody else from
writing, a storage may write behind: ``settle`` waits for that, and says what failed.

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
        name: Its name, from the top of what was listed.
        size: Its bytes; 0 where the same bytes stay here under another name.
        modified: When it was written (Unix time).
    """

    name: str
    size: int
    modified: float


@dataclass(frozen=True)
class Opened:
    """A file that is read, a part at a time.

    Attributes:
        stream: Its bytes; it can be sought in.
        size: How many.
        mark: Another one where the file has other bytes.
    """

    stream: BinaryIO
    size: int
    mark: str


class StorageError(RepositoryStateError, OSError):
    """A storage cannot be used now. Nothing is known of what it holds.

    Args:
        address: Of the storage or of what is in it, for people, without secrets.
        what: What it answers, or that it does not.
        meaning: What that means.
        remedy: What to do.
    """

    def __init__(self, address: str, what: str, meaning: str, remedy: str) -> None:
        RepositoryStateError.__init__(
            self, f"{address} cannot be used: {what}", meaning=meaning, remedy=remedy
        )
        self.errno, self.strerror, self.filename = EIO, what, address


def not_read(address: str, error: OSError) -> StorageError:
    """A file that is there and cannot be read just now.

    Args:
        address: The file, for people.
        error: What the system says.
    """
    return StorageError(
        address,
        error.strerror or str(error),
        "This machine is the reason: what the file holds was not found to be wrong. Nothing was "
        "signed.",
        way_out([address]),
    )


class OvertakenError(RepositoryStateError):
    """Another process has replaced what was to be replaced: it signs for the repository too."""

    def __init__(self, address: str, name: str) -> None:
        super().__init__(
            f"{address}: {name} was replaced by another process",
            meaning="Two processes sign for this repository. What the other one signed is current.",
            remedy="Run the same command again. If it keeps happening, let one of them stop.",
        )


class Reader(Protocol):
    """What reads a part of a storage, or one that somebody else wrote."""

    @property
    def address(self) -> str:
        """Where it is, for people."""

    def read(self, name: str) -> bytes:
        """The bytes of ``name``.

        Raises:
            FileNotFoundError: There is no such name.
            StorageError: It cannot be read just now: nothing was found to be wrong.
        """

    def exists(self, name: str) -> bool:
        """Whether the name is there."""

    def list(self, folder: str = "") -> Iterator[Stored]:
        """The files under ``folder``, those of its subfolders included, in no order.

        Raises:
            OSError: They cannot be listed.
        """

    def open(self, name: str) -> Opened:
        """A file to be read by parts; who asks closes its stream.

        Raises:
            FileNotFoundError: There is no such name, or what it leads to is not kept here.
            OSError: It cannot be read.
        """

    def here(self, name: str) -> Path | None:
        """The file of this machine that ``name`` is, where it is one; it is not to be changed."""

    def fetch(self, name: str, path: Path, sha256: Sha256 | None = None) -> None:
        """Make the contents of ``name`` those of ``path``, a new file of this machine.

        Raises:
            FileNotFoundError: There is no such name.
            OSError: It cannot be read, or the file not be written.
            RepositoryStateError: It has not the digest that is asked for. There is no file.
        """


class Storage(Reader, Protocol):
    """The served files of one repository. Only who holds the repository's lock writes."""

    @property
    def at_once(self) -> int:
        """How many requests are worth having under way: 1 where the answer comes at once."""

    def below(self, folder: str) -> Reader:
        """The part under ``folder``; its names begin there."""

    def holds(self, name: str, sha256: Sha256) -> bool:
        """Whether the name is there with just these bytes: a power cut can leave it without."""

    def create(self, name: str, data: bytes) -> bool:
        """Write ``data`` under a name that is given once; False where it was given before."""

    def ensure(self, name: str, data: bytes) -> None:
        """As ``write``; where ``name`` has these bytes already, it may cost nothing."""

    def write(self, name: str, data: bytes, *, durable: bool = False) -> None:
        """Make ``data`` the contents of ``name``: all of it, or nothing happened.

        It is durable after ``flush``; with ``durable`` before it gets its name, for what is current
        as soon as it has that name.
        """

    def replace(self, name: str, data: bytes, before: bytes | None) -> None:
        """Make ``data`` the contents of ``name``, durably, if these are ``before``; None for none.

        Raises:
            OvertakenError: They are not.
        """

    def prepare(self, key: str, data: bytes) -> None:
        """Keep ``data`` under a key, where nobody else reads it, if that makes ``take`` fast.

        It is gone when the lock is given back.
        """

    def take(self, key: str, name: str) -> bool:
        """Make what was prepared under ``key`` the contents of ``name``; False if nothing was."""

    def copy(self, source: Path, name: str, sha256: Sha256) -> None:
        """Make the contents of ``source``, a file of this machine, those of ``name``.

        Where ``name`` has the bytes of that digest already, nothing happens.

        Raises:
            RepositoryStateError: They have another digest; ``name`` is as it was.
        """

    def link(self, existing: str, name: str, sha256: Sha256) -> None:
        """Let ``name`` have the bytes of ``existing`` too, at no cost where that can be.

        ``sha256`` is their digest. Where ``name`` has these bytes already, it may cost nothing.
        """

    def delete(self, *names: str) -> None:
        """Let the names be gone, if they are there. What was written before is there by then."""

    def note(self, name: str) -> None:
        """Let the next ``flush`` wait for ``name`` too, which another process has written."""

    def clear(self) -> None:
        """Remove what runs that were killed have left unfinished."""

    def settle(self) -> None:
        """Return when others read what was written.

        Raises:
            OSError: Some of it could not be written.
            OvertakenError: Another process has written other bytes under a new name.
        """

    def flush(self) -> None:
        """As ``settle``, and return when all of it is durable."""
