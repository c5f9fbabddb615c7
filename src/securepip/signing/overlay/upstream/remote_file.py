"""A file on a server, of which only the parts that are read are fetched (HTTP range requests).

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

    Reading raises ``TransportError`` when the server does not serve parts, and ``OSError`` when
    more than ``_MAX_BLOCKS`` of them would be needed.

    Args:
        url: Of the file; may hold credentials.
        size: Its length in bytes.
        transport: Fetches the parts.
    """
    return io.BufferedReader(Parts(size, _Blocks(url, size, transport).read))


class _Blocks:
    """The file in blocks, each of which is fetched once."""

    def __init__(self, url: str, size: int, transport: Transport) -> None:
        self._url = url
        self._size = size
        self._transport = transport
        self._blocks: dict[int, bytes] = {}

    def read(self, at: int, length: int) -> bytes:
        """Bytes of the block that ``at`` is in, from there on."""
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
