"""Reads a file on a server by HTTP range requests, so that only the needed parts are fetched.

The metadata of a wheel of many megabytes is in its last few kilobytes.
"""

from __future__ import annotations

import io

from securepip.signing.repository.storage.parts import Parts
from securepip.transport import Transport

BLOCK = 1 << 16
_MAX_BLOCKS = 256


def open_remote(url: str, size: int, transport: Transport) -> io.BufferedReader:
    """A seekable stream over the ``size`` bytes at ``url``.

    Reading raises ``TransportError`` if the server does not support ranges, and ``OSError`` if
    more than ``_MAX_BLOCKS`` blocks would be needed.

    Args:
        url: The URL of the file, perhaps with credentials.
        size: Its length in bytes.
        transport: Fetches the parts.
    """
    return io.BufferedReader(Parts(size, _Blocks(url, size, transport).read))


class _Blocks:
    """A file in blocks. Each block is fetched once, when it is first read."""

    def __init__(self, url: str, size: int, transport: Transport) -> None:
        self._url = url
        self._size = size
        self._transport = transport
        self._blocks: dict[int, bytes] = {}

    def read(self, at: int, length: int) -> bytes:
        """At most ``length`` bytes from the position ``at`` on, up to the end of its block."""
        index, skipped = divmod(at, BLOCK)
        return self._block(index)[skipped : skipped + length]

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
