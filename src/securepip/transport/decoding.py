"""Decompresses bodies piece by piece (``Content-Encoding``).

Rule: a decompressed piece is never longer than ``CHUNK``, so that a small compressed body cannot
fill the memory. The ``Watch`` limits the compressed bytes.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator

from securepip.formats.digests import CHUNK

ACCEPTED = "gzip"
"""For ``Accept-Encoding``."""

_WINDOWS = {
    "gzip": zlib.MAX_WBITS | 16,
    "x-gzip": zlib.MAX_WBITS | 16,
    "deflate": zlib.MAX_WBITS,
}


class DecodingError(Exception):
    """A body is not compressed as its header says, or in a way that was not asked for."""


def decoded(pieces: Iterable[bytes], encoding: str) -> Iterator[bytes]:
    """``pieces``, decompressed.

    Args:
        pieces: The body as it was received.
        encoding: Its ``Content-Encoding``; "" if it has none.

    Raises:
        DecodingError: The body cannot be decompressed.
    """
    encoding = encoding.strip().lower()
    if encoding in ("", "identity"):
        yield from pieces
        return
    if encoding not in _WINDOWS:
        raise DecodingError(f"it is compressed in a way that was not asked for: {encoding!r:.80}")
    try:
        yield from _unpacked(pieces, _WINDOWS[encoding])
    except zlib.error as error:
        raise DecodingError(f"it cannot be unpacked: {error}") from None


def _unpacked(pieces: Iterable[bytes], window: int) -> Iterator[bytes]:
    unpacker = zlib.decompressobj(window)
    for packed in pieces:
        data = packed
        while data:
            if unpacker.eof:
                # gzip allows several members, but millions of empty ones would take hours.
                raise zlib.error("there is more after its end")
            if unpacked := unpacker.decompress(data, CHUNK):
                yield unpacked
            data = unpacker.unconsumed_tail or unpacker.unused_data
    if not unpacker.eof:
        raise zlib.error("it ends too early")
