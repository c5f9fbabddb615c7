"""The content-addressed store: verified bytes, kept under their SHA-256, in the user's cache.

Rule: a file's digest is checked again whenever the file is read. If a write was cut off, a disk is
broken or somebody changed the file, it is deleted and fetched again.

If the cache cannot be used (full, read-only, not the user's alone), files are kept in a temporary
folder until the process ends.
"""

from __future__ import annotations

import logging
import os
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from securepip.dirs import no_temporary_folder, private_folder, temporary_folder
from securepip.errors import SecurepipError
from securepip.formats.digests import Sha256, sha256_of, sha256_of_stream

_STALE_SECONDS = 24 * 3600.0
_log = logging.getLogger(__name__)


@dataclass
class Incoming:
    """A file that is being written to the store.

    Attributes:
        stream: Takes the bytes.
        verified: Their digest, once they are verified; None means that the file is dropped.
    """

    stream: BinaryIO
    verified: Sha256 | None = None

    def keep(self, sha256: Sha256) -> None:
        """Keep the file. The caller has verified that its bytes have that digest."""
        self.verified = sha256


class _UnusableError(Exception):
    """A folder of the store cannot be used any more."""


class _Place:
    """One folder of files by digest.

    Raises:
        SecurepipError: It cannot be made, or is not the user's alone.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = private_folder(folder)
        self._files = private_folder(folder / "sha256")
        self._incoming = private_folder(folder / "incoming")

    def path(self, sha256: Sha256) -> Path:
        return self._files / sha256[:2] / sha256

    @contextmanager
    def incoming(self) -> Iterator[Incoming]:
        descriptor, name = tempfile.mkstemp(dir=self._incoming)  # mode 0600
        try:
            with os.fdopen(descriptor, "w+b") as stream:
                incoming = Incoming(stream)
                yield incoming
            if incoming.verified is not None:
                target = self.path(incoming.verified)
                try:
                    private_folder(target.parent)
                except SecurepipError as error:
                    raise _UnusableError(error.what) from None
                Path(name).replace(target)
        finally:
            Path(name).unlink(missing_ok=True)

    def sweep(self) -> None:
        """Remove what killed runs left behind."""
        oldest = time.time() - _STALE_SECONDS
        with suppress(OSError):
            for entry in os.scandir(self._incoming):
                with suppress(OSError):
                    if entry.stat().st_mtime < oldest:
                        Path(entry.path).unlink()


class Store:
    """Files by digest below one folder. Safe to use from several threads and processes.

    Args:
        folder: ``<cache>/store``; made if it is not there.
    """

    def __init__(self, folder: Path) -> None:
        self._places: list[_Place] = []
        self._temporary: tempfile.TemporaryDirectory[str] | None = None
        self._moving = threading.Lock()
        try:
            self._places.append(_Place(folder))
            self._places[0].sweep()
        except SecurepipError as error:
            self._move_to_temporary(str(error))

    def path(self, sha256: Sha256) -> Path:
        """The path of the file with that digest, which may not exist."""
        paths = [place.path(sha256) for place in self._places]
        return next((path for path in paths[:-1] if path.exists()), paths[-1])

    def has(self, sha256: Sha256) -> bool:
        """Whether there is a file under that digest. A hint: its bytes are not hashed."""
        return self.path(sha256).is_file()

    def read(self, sha256: Sha256, max_bytes: int) -> bytes | None:
        """The bytes with that digest, hashed now; None if the store does not have them."""
        try:
            with self.path(sha256).open("rb") as stream:
                data = stream.read(max_bytes)
        except OSError:
            return None
        if sha256_of(data) == sha256:
            return data
        self._drop(sha256)
        return None

    def holds(self, sha256: Sha256, size: int) -> bool:
        """Whether the store has a file of ``size`` bytes with that digest, hashed now."""
        try:
            with self.path(sha256).open("rb") as stream:
                if os.fstat(stream.fileno()).st_size == size:
                    found, _ = sha256_of_stream(stream)
                    if found == sha256:
                        return True
        except OSError:
            return False
        self._drop(sha256)
        return False

    def add(self, sha256: Sha256, data: bytes) -> None:
        """Keep bytes that the caller has verified to have that digest.

        Raises:
            SecurepipError: They cannot be written, not even to a temporary folder.
        """

        def fill(incoming: Incoming) -> None:
            incoming.stream.write(data)
            incoming.keep(sha256)

        self.receive(fill)

    def receive(self, fill: Callable[[Incoming], None]) -> None:
        """Write a new file, and keep it if ``fill`` verifies it.

        Args:
            fill: Writes the bytes, verifies them and calls ``Incoming.keep``. It is called a second
                time, for a file in a temporary folder, if the cache is full or read-only.

        Raises:
            SecurepipError: It cannot be written, not even to a temporary folder.
        """
        place = self._places[-1]
        try:
            with place.incoming() as incoming:
                fill(incoming)
        except (OSError, _UnusableError) as error:
            if self._temporary is not None and place is self._places[-1]:
                raise no_temporary_folder(f"{self._temporary.name}: {error}") from None
            self._move_to_temporary(f"the cache {place.folder} cannot be written: {error}")
            self.receive(fill)

    def _move_to_temporary(self, reason: str) -> None:
        """Write files to a temporary folder from now on. Several threads may call this at once."""
        with self._moving:
            if self._temporary is not None:
                return
            _log.warning("%s\nThe cache has been disabled.", reason)
            self._temporary = temporary_folder()
            self._places.append(_Place(Path(self._temporary.name) / "store"))

    def _drop(self, sha256: Sha256) -> None:
        with suppress(OSError):
            self.path(sha256).unlink()
