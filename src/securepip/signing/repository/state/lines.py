"""Stores the lines of the transaction log: the interface, and a file by default.

Rule: lines are only added at the end. When ``append`` returns, the whole line is on disk.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import BinaryIO, Protocol

from securepip.signing.repository.config import UNFINISHED_DIR
from securepip.signing.repository.storage.files import Writer

_TAIL = 1 << 16
_BLOCK = 1 << 12


class Lines(Protocol):
    """The lines of one log, the oldest first. Their contents are opaque here."""

    @property
    def address(self) -> str:
        """Where they are, for people."""

    def append(self, parts: Iterable[bytes]) -> None:
        """Add one line, given in parts and without a line end. It is durable when this returns."""

    def after(self, offset: int) -> Iterator[tuple[bytes, int]]:
        """The lines from ``offset`` on (0 for all), each with the offset of the next one."""

    def tail(self, number: int | None, number_of: Callable[[bytes], int | None]) -> list[bytes]:
        """The last lines.

        Args:
            number: The number of a line that has to be among them; None if the last one is enough.
            number_of: Returns the number of a line; None if it has none.
        """

    def size(self) -> int:
        """The offset behind the last line; 0 if it is not known."""

    def drop_torn(self) -> None:
        """Drop an incomplete last line, which a kill or a power cut has left."""

    def become(self, lines: Iterable[bytes]) -> None:
        """Replace all lines durably. If it fails, nothing has changed."""

    def set_aside(self) -> None:
        """Keep all lines under another name, and begin again without lines."""


class FileLines:
    """Lines in a file; offsets are in bytes. Implements ``Lines``."""

    def __init__(self, path: Path) -> None:
        self._path = path

    @property
    def address(self) -> str:
        """As ``Lines.address``."""
        return str(self._path)

    def append(self, parts: Iterable[bytes]) -> None:
        """As ``Lines.append``.

        The line end is written last. Without it there is no line: readers skip what a killed run
        has written, and ``drop_torn`` removes it.
        """
        descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        with os.fdopen(descriptor, "ab") as stream:
            stream.writelines(parts)
            stream.write(b"\n")
            stream.flush()
            os.fsync(stream.fileno())

    def after(self, offset: int) -> Iterator[tuple[bytes, int]]:
        """As ``Lines.after``."""
        try:
            with self._path.open("rb") as stream:
                stream.seek(offset)
                for line in stream:
                    offset += len(line)
                    if line.endswith(b"\n"):  # else a run was killed while it wrote the line
                        yield line[:-1], offset
        except FileNotFoundError:
            return

    def tail(self, number: int | None, number_of: Callable[[bytes], int | None]) -> list[bytes]:
        """As ``Lines.tail``; the lines of the last 64 KiB are always among them."""
        lines: list[bytes] = []
        size = 0
        for line in self._newest_first():
            lines.append(line)
            size += len(line) + 1
            first = number_of(line) if size >= _TAIL else None
            if first is not None and (number is None or first <= number):
                break
        return lines[::-1]

    def size(self) -> int:
        """As ``Lines.size``."""
        try:
            return self._path.stat().st_size
        except OSError:
            return 0

    def drop_torn(self) -> None:
        """As ``Lines.drop_torn``."""
        try:
            with self._path.open("rb+") as stream:
                stream.truncate(_end_before(stream, stream.seek(0, os.SEEK_END)))
        except FileNotFoundError:
            return

    def become(self, lines: Iterable[bytes]) -> None:
        """As ``Lines.become``."""
        writer = Writer(self._path.with_name(UNFINISHED_DIR))
        writer.write(self._path, b"".join(line + b"\n" for line in lines), durable=True)

    def set_aside(self) -> None:
        """As ``Lines.set_aside``."""
        number = 1
        while (aside := self._path.with_name(f"{self._path.name}.{number}")).exists():
            number += 1
        if self._path.exists():
            self._path.rename(aside)

    def _newest_first(self) -> Iterator[bytes]:
        """The lines from the last to the first; one is in memory at a time."""
        try:
            with self._path.open("rb") as stream:
                end = _end_before(stream, stream.seek(0, os.SEEK_END))
                while end > 0:
                    start = _end_before(stream, end - 1)
                    stream.seek(start)
                    yield stream.read(end - 1 - start)
                    end = start
        except FileNotFoundError:
            return


def _end_before(stream: BinaryIO, offset: int) -> int:
    """The position behind the last line end before ``offset``; 0 if there is none."""
    while offset > 0:
        start = max(0, offset - _BLOCK)
        stream.seek(start)
        line_end = stream.read(offset - start).rfind(b"\n")
        if line_end >= 0:
            return start + line_end + 1
        offset = start
    return 0
