"""Reads RECORD of an installed distribution, and the files of an environment, without trust.

Rule: an attacker who can write into the environment may have written RECORD, for example to have
files elsewhere opened. Its paths are checked as text first. A file is opened only inside the
environment, never through a link, and only if it is a regular file.

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
        path: The path as it is written, with ``/``.
        sha256: The recorded digest; None if there is none, or it is of another algorithm.
        size: The recorded length in bytes; None if there is none.
    """

    path: str
    sha256: Sha256 | None = None
    size: int | None = None


@dataclass(frozen=True)
class Found:
    """A file on the disk.

    Attributes:
        sha256: Its digest; "" if it was not read because its size is wrong.
        size: Its length in bytes.
    """

    sha256: Sha256
    size: int


@dataclass(frozen=True)
class Area:
    """The folders of one environment that a distribution's files may be in.

    Attributes:
        library: The folder that paths in RECORD are relative to.
    """

    library: Path
    _real: dict[str, str] = field(default_factory=dict, repr=False, compare=False)

    @cached_property
    def prefix(self) -> Path:
        """The top folder of the environment, above ``lib/python3.X/site-packages``."""
        above = self.library.parents
        levels = 1 if os.name == "nt" else 2
        return above[min(levels, len(above) - 1)] if above else self.library

    def locate(self, path: str) -> Path:
        """The place on the disk of a path in RECORD.

        Raises:
            OutsideError: It leads out of the environment, by its text or through a link, or is not
                a valid path.
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
    """The rows of RECORD by their normalized paths; None if it is missing or not valid."""
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
    """The bytes of a regular file; None if it cannot be read or is longer than ``max_bytes``."""
    try:
        with open_plain(path) as stream:
            data = stream.read(max_bytes + 1)
    except (OSError, ValueError):
        return None
    return data if len(data) <= max_bytes else None


def look(path: Path, size: int | None) -> Found | None:
    """Hash a regular file; None if there is none that can be read.

    Args:
        path: The file.
        size: Its expected length in bytes; a file of another length is not read. None for any.
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
    """A folder holds more files than ``walk`` may look at."""


def walk(folder: Path, max_entries: int) -> Iterator[Path]:
    """All files below a folder. Links are included, and not followed.

    Args:
        folder: The folder to begin with.
        max_entries: The greatest number of files and folders to look at.

    Raises:
        TooManyError: There are more. Whatever is wrong with the rest was not seen.
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
