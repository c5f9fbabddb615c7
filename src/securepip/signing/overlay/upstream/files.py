"""Distributions and their ``.metadata`` files, fetched from where a page says they are.

Rule: the credentials of an index go to its own host alone, and no URL that holds them leaves here.
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
    """Those that the URLs of the indexes hold.

    Published URLs have none; what is fetched from the same host (scheme, name and port) gets them
    back, as pip does it.
    """

    def __init__(self, urls: Iterable[str]) -> None:
        self._by_host: dict[tuple[str, str], str] = {}
        for url in urls:
            parts = urlsplit(url)
            userinfo, at, host = parts.netloc.rpartition("@")
            if at:
                self._by_host.setdefault((parts.scheme, host), userinfo)

    def add(self, url: str) -> str:
        """``url`` with the credentials of its host, where there are some."""
        parts = urlsplit(url)
        userinfo = self._by_host.get((parts.scheme, parts.netloc))
        if userinfo is None:
            return url
        return urlunsplit(parts._replace(netloc=f"{userinfo}@{parts.netloc}"))


class UpstreamFiles:
    """Fetches what pages name. Safe to share by threads.

    Args:
        indexes: URLs of the indexes; may hold credentials.
        transport: Fetches everything.
    """

    def __init__(self, indexes: Iterable[str], transport: Transport) -> None:
        self._credentials = _Credentials(indexes)
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
        """The length in bytes of the distribution at ``url``, as far as its server can be believed.

        A GET for the first byte is asked, not a HEAD: some stores sign an address for GET alone,
        and many servers answer HEAD with nothing or with a lie. Where the server serves parts, the
        last byte has to be where the length says. Where it does not, the length is that of the
        answer itself.

        Returns:
            The length; None when the server does not say, or contradicts itself.

        Raises:
            TransportError: There was no answer, or an error (its ``status``).
        """
        address = self._credentials.add(url)
        first = self.transport.peek(address, headers=_part(0, 0), accept=(200, 206))
        kind = first.headers.get("Content-Type", "")
        if "Content-Encoding" in first.headers or kind.startswith("text/html"):
            # Compressed on the way, or a page of somebody else: of a proxy, of a log-in.
            return None
        if first.status == 200:
            return _number(first.headers.get("Content-Length", ""))
        length = _total(first)
        if not length:
            return None
        # One byte more than there should be: of a longer file, two come.
        last = self.transport.get(
            address, max_bytes=2, headers=_part(length - 1, length), accept=(206,)
        )
        return length if len(last.body) == 1 and _total(last) == length else None

    def read_length(self, url: str, sha256: Sha256, *, max_bytes: int) -> int:
        """The length of the distribution at ``url``, which is read to its end and verified.

        Raises:
            FormatError: It has another sha256.
            TooLargeError: It is longer than ``max_bytes``.
            TransportError: It did not come.
        """
        with tempfile.TemporaryFile(prefix="securepip-") as stream:
            self.download(url, stream, max_bytes=max_bytes)
            stream.seek(0)
            found, length = sha256_of_stream(stream)
        if found != sha256:
            raise FormatError("its bytes are not those that the index says (sha256)")
        return length


def is_metadata_of(data: bytes, name: DistributionName) -> bool:
    """Whether ``data`` is core metadata of that project and version.

    A server may answer with a page of its own, with nothing, or with the distribution: signed as
    its metadata, that would stop every install.
    """
    try:
        metadata = parse_core_metadata(data)
    except FormatError:
        return False
    return (metadata.project, metadata.version) == (name.project, name.version)


def _part(first: int, last: int) -> dict[str, str]:
    return {"Range": f"bytes={first}-{last}", "Accept-Encoding": "identity"}


def _total(answer: Answer) -> int | None:
    """The length of the whole file, of which ``answer`` is a part (RFC 9110, 14.4)."""
    _, slash, total = answer.headers.get("Content-Range", "").partition("/")
    return _number(total) if slash else None


def _number(text: str) -> int | None:
    if not (text.isascii() and text.isdigit()) or len(text) > _MAX_DIGITS:
        return None
    return int(text) if 0 < int(text) <= MAX_FILE_BYTES else None
