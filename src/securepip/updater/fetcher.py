"""python-tuf's ``FetcherInterface`` over securepip's transport, with downloads begun early.

python-tuf asks for one metadata file after the other and verifies each before the next. ``warm``
begins downloads that python-tuf will ask for, in parallel. python-tuf still asks for, verifies and
stores each file itself: bytes that were fetched early are not trusted more than others.
"""

from __future__ import annotations

from collections.abc import Iterator

from tuf.api.exceptions import DownloadError, DownloadHTTPError, DownloadLengthMismatchError
from tuf.ngclient import FetcherInterface

from securepip.errors import TooLargeError, TransportError
from securepip.transport import Early, Transport
from securepip.updater.ahead import MAX_METADATA_BYTES, early_limit

EARLY_FILES = 1024
"""The most early downloads that python-tuf has not asked for yet."""


class Fetcher(FetcherInterface):
    """python-tuf's ``FetcherInterface`` over a ``Transport``.

    Args:
        transport: Fetches.
        address: The metadata URL that python-tuf knows. ``ask_at`` may name a mirror's instead.
    """

    def __init__(self, transport: Transport, address: str = "") -> None:
        self._transport = transport
        self._known_address = address
        self._early: dict[str, Early] = {}
        self.address = address
        """The metadata URL of the place that is asked now."""
        self.last_url = ""
        """The last URL that python-tuf asked for: its next error is about that file."""
        self.last_error: TransportError | None = None
        """Why the last download failed; None if it did not."""
        self.last_was_early = False
        """Whether the last answer was fetched before python-tuf asked for it."""

    def ask_at(self, address: str) -> None:
        """From now on fetch the metadata from another place that has the same files."""
        if address != self.address:
            self.address = address
            self._early.clear()

    def warm(self, url: str, length: int | None) -> None:
        """Begin to fetch ``url``, for when python-tuf asks for it.

        Args:
            url: The URL of a metadata file, as python-tuf knows it.
            length: Its announced length in bytes, if there is one.
        """
        url = self._url_here(url)
        if self._transport.expects(url):
            return
        if url not in self._early and len(self._early) < EARLY_FILES:
            self._early[url] = self._transport.early(url, max_bytes=early_limit(length))

    def warmed(self, url: str) -> bytes | None:
        """Wait for what ``warm`` began to fetch from ``url``: its unverified bytes, or None."""
        early = self._begun(self._url_here(url))
        try:
            return None if early is None else early.result()
        except TransportError:
            return None

    def download_bytes(self, url: str, max_length: int) -> bytes:
        """The bytes of ``url``.

        Raises:
            DownloadHTTPError: The server answers with another status than 200.
            DownloadLengthMismatchError: There are more than ``max_length`` bytes.
            DownloadError: There was no answer.
        """
        url = self._url_here(url)
        self.last_url, self.last_error, self.last_was_early = url, None, False
        try:
            data = self._take_early(url)
            if data is None:
                limit = min(max_length, MAX_METADATA_BYTES)
                data = self._transport.get(url, max_bytes=limit).body
        except TransportError as error:
            self.last_error = error
            raise _translate(error) from error
        if len(data) > max_length:
            raise DownloadLengthMismatchError(
                f"{len(data)} bytes, where at most {max_length} are allowed"
            )
        return data

    def date_at(self, url: str) -> str:
        """The unsigned ``Date`` header of a server's answer; "" if it sends none.

        Raises:
            TransportError: There was no answer.
        """
        return self._transport.peek(url, accept=range(200, 600)).headers.get("Date", "")

    def _url_here(self, url: str) -> str:
        """The URL, at the place that is asked now, of what python-tuf asks for."""
        if url.startswith(self._known_address):
            return self.address + url.removeprefix(self._known_address)
        return url

    def _begun(self, url: str) -> Early | None:
        """The early download of ``url``, begun by this object or before it existed."""
        early = self._early.get(url) or self._transport.begun_ahead(url)
        if early is not None:
            self._early[url] = early
        return early

    def _take_early(self, url: str) -> bytes | None:
        """The bytes of an early download, which is then forgotten; None if there is none.

        None also if the file is longer than an early download may be: it is fetched anew.

        Raises:
            TransportError: The early download failed.
        """
        early = self._begun(url)
        if early is None:
            return None
        try:
            data = early.result()
        except TooLargeError:
            data = None
        except TransportError:
            del self._early[url]
            raise
        # Only now: while the answer is on its way a gateway's transport raises `NotYetError`, and
        # the gateway asks again later.
        del self._early[url]
        self.last_was_early = True
        return data

    def _fetch(self, url: str) -> Iterator[bytes]:
        # python-tuf calls this for targets (`download_file`), and `download_bytes` for metadata.
        yield self.download_bytes(url, MAX_METADATA_BYTES)


def _translate(error: TransportError) -> DownloadError:
    if isinstance(error, TooLargeError):
        return DownloadLengthMismatchError(str(error))
    if error.status is not None:
        return DownloadHTTPError(str(error), error.status)
    return DownloadError(str(error))
