"""A stream over a remote file that fetches only the parts that are read."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing_extensions import Buffer


class Parts(io.RawIOBase):
    """A seekable stream over a remote file.

    Reading raises the errors of ``fetch``, and ``OSError`` if it returns nothing or too much.

    Args:
        size: The length of the file in bytes.
        fetch: Called with a position and a length. It returns the bytes from that position on, at
            least one and at most that many.
    """

    def __init__(self, size: int, fetch: Callable[[int, int], bytes]) -> None:
        super().__init__()
        self._size = size
        self._fetch = fetch
        self._at = 0

    def readable(self) -> bool:
        """As ``io.IOBase.readable``."""
        return True

    def seekable(self) -> bool:
        """As ``io.IOBase.seekable``."""
        return True

    def tell(self) -> int:
        """As ``io.IOBase.tell``."""
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        """As ``io.IOBase.seek``."""
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        if start + offset < 0:
            raise OSError("before the start of the file")
        self._at = start + offset
        return self._at

    def readinto(self, buffer: Buffer, /) -> int:
        """As ``io.RawIOBase.readinto``."""
        view = memoryview(buffer)
        part = self._next(len(view))
        view[: len(part)] = part
        return len(part)

    def readall(self) -> bytes:
        """As ``io.RawIOBase.readall``, but not in pieces of a few kilobytes."""
        return b"".join(iter(lambda: self._next(self._size), b""))

    def _next(self, most: int) -> bytes:
        """The next bytes, at most ``most``; none at the end."""
        length = min(most, self._size - self._at)
        if length <= 0:
            return b""
        part = self._fetch(self._at, length)
        if not 0 < len(part) <= length:
            raise OSError("the server sent another length than it announced")
        self._at += len(part)
        return part
