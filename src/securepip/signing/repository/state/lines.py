"""Where the lines of the transaction log are kept: one interface, and the file by default.

Rule: a line is on the disk when ``append`` returns, whole, and only at the end.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Protocol

from securepip.signing.repository.config import UNFINISHED_DIR
from securepip.signing.repository.storage.files import Writer

_TAIL = 1 << 16


class Lines(Protocol):
    """The lines of one log, the oldest first. What is in them, nobody here knows."""

    @property
    def address(self) -> str:
        """Where they are, for people."""

    def append(self, line: bytes) -> None:
        """Add a line that holds no line end. Durable when this returns."""

    def after(self, offset: int) -> Iterator[tuple[bytes, int]]:
        """The lines from ``offset`` on (0 for all), each with the offset of the next one."""

    def tail(self, number: int | None, number_of: Callable[[bytes], int | None]) -> list[bytes]:
        """The last lines.

        Args:
            number: Of the first line that has to be among them; None where any end will do.
            number_of: Says which number a line has; None if it has none.
        """

    def size(self) -> int:
        """The offset behind the last line; 0 where it cannot be told."""

    def drop_torn(self) -> None:
        """Drop what a power cut has left of a line."""

    def become(self, lines: Iterable[bytes]) -> None:
        """Let these be all lines, durably, or nothing happened."""

    def set_aside(self) -> None:
        """Keep all lines under another name, and begin anew."""


class FileLines:
    """Lines in a file; an offset is one of bytes. Implements ``Lines``."""

    def __init__(self, path: Path) -> None:
        self._path = path

    @property
    def address(self) -> str:
        """As ``Lines.address``."""
        return str(self._path)

    def append(self, line: bytes) -> None:
        """As ``Lines.append``."""
        descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        with os.fdopen(descriptor, "ab") as stream:
            stream.write(line + b"\n")
            stream.flush()
            os.fsync(stream.fileno())

    def after(self, offset: int) -> Iterator[tuple[bytes, int]]:
        """As ``Lines.after``."""
        try:
            with self._path.open("rb") as stream:
                stream.seek(offset)
                for line in stream:
                    offset += len(line)
                    if line.endswith(b"\n"):  # else a run was killed while it wrote
                        yield line[:-1], offset
        except FileNotFoundError:
            return

    def tail(self, number: int | None, number_of: Callable[[bytes], int | None]) -> list[bytes]:
        """As ``Lines.tail``."""
        try:
            with self._path.open("rb") as stream:
                end = stream.seek(0, os.SEEK_END)
                size = _TAIL
                while True:
                    start = max(0, end - size)
                    stream.seek(start)
                    lines = stream.read(end - start).split(b"\n")[:-1]
                    whole = lines if start == 0 else lines[1:]
                    first = number_of(whole[0]) if whole else None
                    if start == 0 or (first and (number is None or first <= number)):
                        return whole
                    size *= 4
        except FileNotFoundError:
            return []

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
                end = stream.seek(0, os.SEEK_END)
                while end > 0:
                    start = max(0, end - _TAIL)
                    stream.seek(start)
                    at = stream.read(end - start).rfind(b"\n")
                    if at >= 0 or start == 0:
                        stream.truncate(start + at + 1)
                        return
                    end = start
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
