"""The content-addressed store: verified bytes, kept under their SHA-256, in the user's cache.

Rule: a name in the store is a claim that is checked again whenever it is read. A cut-off write, a
broken disk or a curious process leave at worst a file that is dropped and fetched again.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from securepip.formats.digests import Sha256, sha256_of, sha256_of_stream

_STALE_SECONDS = 24 * 3600.0


@dataclass
class Incoming:
    """A file on its way into the store.

    Attributes:
        stream: Where the bytes are written.
        verified: The digest that they were verified to have, once they were.
    """

    stream: BinaryIO
    verified: Sha256 | None = None

    def keep(self, sha256: Sha256) -> None:
        """Keep the file: its bytes were verified to have that digest."""
        self.verified = sha256


class Store:
    """Files by digest below one folder. Safe to use from several threads and processes.

    Args:
        folder: ``<cache>/store``; made if it is not there.
    """

    def __init__(self, folder: Path) -> None:
        self._files = folder / "sha256"
        self._incoming = folder / "incoming"
        self._files.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._incoming.mkdir(mode=0o700, exist_ok=True)
        self._sweep()

    def path(self, sha256: Sha256) -> Path:
        """Where bytes of that digest are, or would be."""
        return self._files / sha256[:2] / sha256

    def read(self, sha256: Sha256, max_bytes: int) -> bytes | None:
        """The bytes of that digest, or None when the store has not got them whole."""
        try:
            with self.path(sha256).open("rb") as stream:
                data = stream.read(max_bytes + 1)
        except OSError:
            return None
        if sha256_of(data) == sha256:
            return data
        self._drop(sha256)
        return None

    def holds(self, sha256: Sha256, size: int) -> bool:
        """Whether the store has ``size`` bytes of that digest, hashed now."""
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
        """Keep bytes that were verified to have that digest."""
        with self.incoming() as incoming:
            incoming.stream.write(data)
            incoming.keep(sha256)

    @contextmanager
    def incoming(self) -> Iterator[Incoming]:
        """A new file for bytes that are not verified yet; gone afterwards unless kept."""
        descriptor, name = tempfile.mkstemp(dir=self._incoming)
        try:
            with os.fdopen(descriptor, "w+b") as stream:
                incoming = Incoming(stream)
                yield incoming
            if incoming.verified is not None:
                target = self.path(incoming.verified)
                target.parent.mkdir(mode=0o700, exist_ok=True)
                Path(name).replace(target)
        finally:
            Path(name).unlink(missing_ok=True)

    def _drop(self, sha256: Sha256) -> None:
        with suppress(OSError):
            self.path(sha256).unlink()

    def _sweep(self) -> None:
        """Remove what killed runs left behind."""
        oldest = time.time() - _STALE_SECONDS
        with suppress(OSError):
            for entry in os.scandir(self._incoming):
                with suppress(OSError):
                    if entry.stat().st_mtime < oldest:
                        Path(entry.path).unlink()
