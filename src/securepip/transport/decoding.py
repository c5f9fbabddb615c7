"""Bodies that were compressed on the way, unpacked piece by piece.

Rule: a piece that is unpacked is never longer than ``CHUNK``, however little it was unpacked from.
How much goes in is counted before it comes here.
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
    """A body is not compressed as its header says, or in a way that nobody asked for."""


def decoded(pieces: Iterable[bytes], encoding: str) -> Iterator[bytes]:
    """What ``pieces`` are, unpacked.

    Args:
        pieces: The body as it came.
        encoding: Its ``Content-Encoding``; "" where there is none.

    Raises:
        DecodingError: See there.
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
                # A second member would be one too, but millions of empty ones take long.
                raise zlib.error("there is more after its end")
            if unpacked := unpacker.decompress(data, CHUNK):
                yield unpacked
            data = unpacker.unconsumed_tail or unpacker.unused_data
    if not unpacker.eof:  # before its end is a digest of all that was unpacked: nothing is left
        raise zlib.error("it ends too early")
