"""What an installed distribution says of its own files, and these files, read with suspicion.

Rule: RECORD is a text that anybody who could write into the environment may have written. Its
paths are judged as text first; a file is opened only inside the environment, never through a link,
and only if it is a plain file.

Source: PyPA specification "Recording installed projects".
"""

from __future__ import annotations

import binascii
import csv
import io
import os
import posixpath
from base64 import urlsafe_b64decode
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from securepip.formats.digests import Sha256, open_plain, sha256_of_stream

_MAX_RECORD_BYTES = 64 << 20
_MAX_ROWS = 500_000
_MAX_FILE_BYTES = 8 << 30


class OutsideError(Exception):
    """A path leads out of the environment."""


@dataclass(frozen=True)
class Row:
    """A line of RECORD.

    Attributes:
        path: As it is written, with ``/``.
        sha256: The digest that it says; None where it says none, or one of another kind.
        size: The length that it says, in bytes; None where it says none.
    """

    path: str
    sha256: Sha256 | None = None
    size: int | None = None


@dataclass(frozen=True)
class Found:
    """A file on the disk.

    Attributes:
        sha256: Its digest.
        size: Bytes.
    """

    sha256: Sha256
    size: int


@dataclass(frozen=True)
class Area:
    """The folders of one environment that a distribution's files may be in.

    Attributes:
        library: The folder that paths in RECORD start from.
    """

    library: Path
    _real: dict[str, str] = field(default_factory=dict, repr=False, compare=False)

    @cached_property
    def prefix(self) -> Path:
        """The top of the environment: ``lib/python3.X/site-packages`` is three folders below."""
        above = self.library.parents
        levels = 1 if os.name == "nt" else 2
        return above[min(levels, len(above) - 1)] if above else self.library

    def locate(self, path: str) -> Path:
        """Where a path of RECORD is.

        Raises:
            OutsideError: It leads out of the environment, by its words or by a link.
        """
        if not path or "\0" in path or ("\\" in path and os.name == "nt"):
            raise OutsideError(path)
        if path.startswith("/") or Path(path).is_absolute() or len(path) > 4096:
            raise OutsideError(path)
        joined = Path(os.path.normpath(self.library / path))
        if not joined.is_relative_to(self.prefix) or joined == self.prefix:
            raise OutsideError(path)
        folder = self._resolved(str(joined.parent))
        if not Path(folder).is_relative_to(self._resolved(str(self.prefix))):
            raise OutsideError(path)
        return joined

    def _resolved(self, folder: str) -> str:
        if folder not in self._real:
            self._real[folder] = os.path.realpath(folder)
        return self._real[folder]


def read_record(dist_info: Path) -> dict[str, Row] | None:
    """The rows of RECORD by their paths; None where there is none that can be read."""
    data = read_bounded(dist_info / "RECORD", _MAX_RECORD_BYTES)
    if data is None:
        return None
    rows: dict[str, Row] = {}
    try:
        for number, row in enumerate(csv.reader(io.StringIO(data.decode("utf-8"), newline=""))):
            if number >= _MAX_ROWS:
                return None
            if row:
                path = row[0].replace(os.sep, "/")
                rows[posixpath.normpath(path)] = Row(
                    path, _digest(row[1] if len(row) > 1 else ""), _size(row[2:3])
                )
    except (ValueError, csv.Error):
        return None
    return rows


def read_bounded(path: Path, max_bytes: int) -> bytes | None:
    """A plain file that is not longer than it may be; None where it is none."""
    try:
        with open_plain(path) as stream:
            data = stream.read(max_bytes + 1)
    except (OSError, ValueError):
        return None
    return data if len(data) <= max_bytes else None


def look(path: Path, size: int | None) -> Found | None:
    """A plain file, hashed where it has the size that it should have; None where there is none.

    Args:
        path: The file.
        size: How long it should be. A file of another size is another file, and not read.
    """
    try:
        with open_plain(path) as stream:
            length = os.fstat(stream.fileno()).st_size
            if (size is not None and length != size) or length > _MAX_FILE_BYTES:
                return Found(Sha256(""), length)
            return Found(*sha256_of_stream(stream))
    except (OSError, ValueError):
        return None


class TooManyError(Exception):
    """A folder holds more than anybody installs."""


def walk(folder: Path, max_entries: int) -> Iterator[Path]:
    """All that is below a folder and is no folder. Links are named and not followed.

    Args:
        folder: Where to begin.
        max_entries: The most that is looked at.

    Raises:
        TooManyError: There is more. What was not looked at may be anything.
    """
    waiting = [str(folder)]
    while waiting:
        try:
            entries = list(os.scandir(waiting.pop()))
        except OSError:
            continue
        max_entries -= len(entries)
        if max_entries < 0:
            raise TooManyError(str(folder))
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                waiting.append(entry.path)
            else:
                yield Path(entry.path)


def _digest(text: str) -> Sha256 | None:
    name, _, value = text.partition("=")
    if name != "sha256" or len(value) > 64:
        return None
    try:
        return Sha256(urlsafe_b64decode(value + "=" * (-len(value) % 4)).hex())
    except (binascii.Error, ValueError):
        return None


def _size(texts: list[str]) -> int | None:
    text = texts[0] if texts else ""
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 16 else None
