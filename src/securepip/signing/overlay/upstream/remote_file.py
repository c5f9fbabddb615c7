"""A file on a server, of which only the parts that are read are fetched (HTTP range requests).

The metadata of a wheel of many megabytes is in its last few kilobytes.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from securepip.transport import Transport

if TYPE_CHECKING:
    from typing_extensions import Buffer

BLOCK = 1 << 16
_MAX_BLOCKS = 256


def open_remote(url: str, size: int, transport: Transport) -> io.BufferedReader:
    """A seekable stream over the ``size`` bytes at ``url``.

    Reading raises ``TransportError`` when the server does not serve parts, and ``OSError`` when
    more than ``_MAX_BLOCKS`` of them would be needed.

    Args:
        url: Of the file; may hold credentials.
        size: Its length in bytes.
        transport: Fetches the parts.
    """
    return io.BufferedReader(_RemoteFile(url, size, transport))


class _RemoteFile(io.RawIOBase):
    def __init__(self, url: str, size: int, transport: Transport) -> None:
        super().__init__()
        self._url = url
        self._size = size
        self._transport = transport
        self._at = 0
        self._blocks: dict[int, bytes] = {}

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        if start + offset < 0:
            raise OSError("before the start of the file")
        self._at = start + offset
        return self._at

    def readinto(self, buffer: Buffer, /) -> int:
        view = memoryview(buffer)
        if self._at >= self._size:
            return 0
        index, skipped = divmod(self._at, BLOCK)
        part = self._block(index)[skipped : skipped + len(view)]
        if not part:
            raise OSError("the server sent less than it announced")
        view[: len(part)] = part
        self._at += len(part)
        return len(part)

    def _block(self, index: int) -> bytes:
        if index not in self._blocks:
            if len(self._blocks) >= _MAX_BLOCKS:
                raise OSError("too much of the file would have to be fetched")
            first = index * BLOCK
            last = min(first + BLOCK, self._size) - 1
            headers = {"Range": f"bytes={first}-{last}", "Accept-Encoding": "identity"}
            answer = self._transport.get(self._url, max_bytes=BLOCK, headers=headers, accept=(206,))
            self._blocks[index] = answer.body
        return self._blocks[index]
