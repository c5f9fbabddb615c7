"""Fetches distributions and their ``.metadata`` files from the URLs on a page.

Rule: the credentials of an index are sent to its own host alone, and no URL with credentials leaves
this module.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from typing import IO, BinaryIO
from urllib.parse import urlsplit, urlunsplit

from securepip.errors import FormatError
from securepip.formats.core_metadata import MAX_METADATA_BYTES, parse_core_metadata
from securepip.formats.digests import Sha256, sha256_of_stream
from securepip.formats.distribution import DistributionName
from securepip.formats.layout import METADATA_SUFFIX
from securepip.signing.overlay.upstream.page import MAX_FILE_BYTES
from securepip.signing.overlay.upstream.remote_file import open_remote
from securepip.transport import Answer, Transport

_MAX_DIGITS = 18


class _Credentials:
    """The credentials in the URLs of the indexes.

    The URLs on pages have none. As in pip, a request to the host of an index (same scheme, name and
    port) gets the credentials of that index.
    """

    def __init__(self, urls: Iterable[str]) -> None:
        self._by_host: dict[tuple[str, str], str] = {}
        for url in urls:
            parts = urlsplit(url)
            userinfo, at, host = parts.netloc.rpartition("@")
            if at:
                self._by_host.setdefault((parts.scheme, host), userinfo)

    def add(self, url: str) -> str:
        """``url`` with the credentials for its host, if there are any."""
        parts = urlsplit(url)
        userinfo = self._by_host.get((parts.scheme, parts.netloc))
        if userinfo is None:
            return url
        return urlunsplit(parts._replace(netloc=f"{userinfo}@{parts.netloc}"))


class UpstreamFiles:
    """Fetches the files on pages. Safe to share by threads.

    Args:
        indexes: URLs of the indexes, perhaps with credentials.
        transport: Fetches everything.
    """

    def __init__(self, indexes: Iterable[str], transport: Transport) -> None:
        self._credentials = _Credentials(indexes)
        self.transport = transport

    def metadata(self, url: str) -> bytes:
        """The ``.metadata`` file beside the distribution at ``url``.

        Raises:
            TransportError: There is none, or it could not be fetched.
        """
        path, question_mark, query = url.partition("?")
        beside = f"{path}{METADATA_SUFFIX}{question_mark}{query}"
        return self.transport.get(self._credentials.add(beside), max_bytes=MAX_METADATA_BYTES).body

    def download(self, url: str, into: BinaryIO, *, max_bytes: int) -> None:
        """Write the distribution at ``url`` into ``into``, an empty seekable file.

        Raises:
            TooLargeError: It is longer than ``max_bytes``.
            TransportError: It could not be fetched.
        """
        self.transport.download(self._credentials.add(url), into, max_bytes=max_bytes)

    def open(self, url: str, size: int) -> IO[bytes]:
        """A seekable stream over the ``size`` bytes at ``url``; see ``open_remote``."""
        return open_remote(self._credentials.add(url), size, self.transport)

    def length(self, url: str) -> int | None:
        """The length in bytes of the distribution at ``url``, as its server says.

        The request is a GET for the first byte and not a HEAD: some stores sign a URL for GET
        alone, and many servers answer HEAD with no length or a wrong one. If the server supports
        ranges, a second request checks that the last byte is where the length says. If not, the
        length is that of the answer.

        Returns:
            The length; None if the server does not say it, or contradicts itself.

        Raises:
            TransportError: There was no answer, or one with an error ``status``.
        """
        address = self._credentials.add(url)
        first = self.transport.peek(address, headers=_part(0, 0), accept=(200, 206))
        kind = first.headers.get("Content-Type", "")
        if "Content-Encoding" in first.headers or kind.startswith("text/html"):
            # A body that was compressed on the way, or the page of a proxy or a log-in.
            return None
        if first.status == 200:
            return _number(first.headers.get("Content-Length", ""))
        length = _total(first)
        if not length:
            return None
        # The limit is one byte more than was asked for: a longer file would send two bytes.
        last = self.transport.get(
            address, max_bytes=2, headers=_part(length - 1, length), accept=(206,)
        )
        return length if len(last.body) == 1 and _total(last) == length else None

    def read_length(self, url: str, sha256: Sha256, *, max_bytes: int) -> int:
        """The length in bytes of the distribution at ``url``, by downloading all of it.

        Raises:
            FormatError: It does not have the digest ``sha256``.
            TooLargeError: It is longer than ``max_bytes``.
            TransportError: It could not be fetched.
        """
        with tempfile.TemporaryFile(prefix="securepip-") as stream:
            self.download(url, stream, max_bytes=max_bytes)
            stream.seek(0)
            found, length = sha256_of_stream(stream)
        if found != sha256:
            raise FormatError("its bytes are not those that the index says (sha256)")
        return length


def is_metadata_of(data: bytes, name: DistributionName) -> bool:
    """Whether ``data`` is the core metadata of the project and version in ``name``.

    A server may answer with an error page, with nothing, or with the distribution itself. If that
    were signed as metadata, no install of the distribution could succeed.
    """
    try:
        metadata = parse_core_metadata(data)
    except FormatError:
        return False
    return (metadata.project, metadata.version) == (name.project, name.version)


def _part(first: int, last: int) -> dict[str, str]:
    return {"Range": f"bytes={first}-{last}", "Accept-Encoding": "identity"}


def _total(answer: Answer) -> int | None:
    """The length of the whole file, from the ``Content-Range`` of a part (RFC 9110, 14.4)."""
    _, slash, total = answer.headers.get("Content-Range", "").partition("/")
    return _number(total) if slash else None


def _number(text: str) -> int | None:
    if not (text.isascii() and text.isdigit()) or len(text) > _MAX_DIGITS:
        return None
    return int(text) if 0 < int(text) <= MAX_FILE_BYTES else None
