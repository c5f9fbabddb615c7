"""Distributions and their ``.metadata`` files, fetched from where a page says they are.

Rule: the credentials of an index go to its own host alone, and no URL that holds them leaves here.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import IO, BinaryIO

from securepip.errors import TransportError
from securepip.formats.core_metadata import MAX_METADATA_BYTES
from securepip.formats.layout import METADATA_SUFFIX
from securepip.signing.overlay.upstream.credentials import Credentials
from securepip.signing.overlay.upstream.page import MAX_FILE_BYTES
from securepip.signing.overlay.upstream.remote_file import open_remote
from securepip.transport import Transport


class UpstreamFiles:
    """Fetches what pages name. Safe to share by threads.

    Args:
        indexes: URLs of the indexes; may hold credentials.
        transport: Fetches everything.
    """

    def __init__(self, indexes: Iterable[str], transport: Transport) -> None:
        self._credentials = Credentials(indexes)
        self.transport = transport

    def metadata(self, url: str) -> bytes:
        """The ``.metadata`` file beside the distribution at ``url``.

        Raises:
            TransportError: There is none, or it did not come.
        """
        path, question_mark, query = url.partition("?")
        beside = f"{path}{METADATA_SUFFIX}{question_mark}{query}"
        return self.transport.get(self._credentials.add(beside), max_bytes=MAX_METADATA_BYTES).body

    def download(self, url: str, into: BinaryIO, *, max_bytes: int) -> None:
        """Write the distribution at ``url`` into ``into``, an empty seekable file.

        Raises:
            TooLargeError: It is longer than ``max_bytes``.
            TransportError: It did not come.
        """
        self.transport.download(self._credentials.add(url), into, max_bytes=max_bytes)

    def open(self, url: str, size: int) -> IO[bytes]:
        """A seekable stream over the ``size`` bytes at ``url``, see ``open_remote``."""
        return open_remote(self._credentials.add(url), size, self.transport)

    def length(self, url: str) -> int | None:
        """The length in bytes of the distribution at ``url``; None when the server does not say."""
        try:
            headers = self.transport.head(self._credentials.add(url)).headers
        except TransportError:
            return None
        length = headers.get("Content-Length", "")
        if "Content-Encoding" in headers or not (length.isascii() and length.isdigit()):
            return None
        return int(length) if int(length[:20]) <= MAX_FILE_BYTES else None
