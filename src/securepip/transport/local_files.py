"""Reads local files as answers are read: in pieces, and up to a limit."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO

from securepip.errors import TransportError
from securepip.formats.digests import CHUNK
from securepip.transport.body import too_large
from securepip.transport.urls import file_url_to_path


@contextmanager
def open_file(url: str, max_bytes: int) -> Iterator[Iterator[bytes]]:
    """The pieces of the file that a ``file`` URL names.

    Raises:
        TooLargeError: It is longer than ``max_bytes``.
        TransportError: It does not exist, cannot be read, or is not a regular file.
    """
    path = file_url_to_path(url)
    try:
        # Checked before it is opened: opening a FIFO would wait forever.
        if not stat.S_ISREG(path.stat().st_mode):
            raise TransportError(f"{path} is not a file", url=url)
        stream = path.open("rb")
    except FileNotFoundError:
        raise TransportError(f"{path} does not exist", url=url, status=404) from None
    except OSError as error:
        raise TransportError(f"{path} cannot be read: {error.strerror}", url=url) from None
    with stream:
        yield _pieces(stream, url, max_bytes)


def _pieces(stream: BinaryIO, url: str, max_bytes: int) -> Iterator[bytes]:
    left = max_bytes
    while piece := _read(stream, url):
        left -= len(piece)
        if left < 0:
            raise too_large(url, max_bytes)
        yield piece


def _read(stream: BinaryIO, url: str) -> bytes:
    try:
        return stream.read(CHUNK)
    except OSError as error:
        raise TransportError(f"{url} cannot be read: {error.strerror}", url=url) from None
