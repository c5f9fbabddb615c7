"""The seam through which python-tuf gets its bytes: our transport, and downloads begun early.

python-tuf asks for one metadata file after the other and verifies each before the next. ``warm``
begins downloads that it will ask for, in parallel; it still asks for, checks and stores each one
itself. A warmed answer is bytes like any other: nothing is trusted for having been here.
"""

from __future__ import annotations

from collections.abc import Iterator

from tuf.api.exceptions import DownloadError, DownloadHTTPError, DownloadLengthMismatchError
from tuf.ngclient import FetcherInterface

from securepip.errors import TooLargeError, TransportError
from securepip.transport import Early, Transport
from securepip.updater.ahead import MAX_METADATA_BYTES, early_limit

EARLY_FILES = 1024
"""The most files that are fetched early and not asked for yet."""


class Fetcher(FetcherInterface):
    """python-tuf's ``FetcherInterface`` over a ``Transport``.

    Args:
        transport: Fetches.
        address: Where python-tuf takes the metadata to be; ``ask_at`` may name another place.
    """

    def __init__(self, transport: Transport, address: str = "") -> None:
        self._transport = transport
        self._known_address = address
        self._early: dict[str, Early] = {}
        self.address = address
        """Where the metadata is asked for."""
        self.last_url = ""
        """The URL that was asked for last: the one that python-tuf's next complaint is about."""
        self.last_error: TransportError | None = None
        self.last_was_early = False
        """Whether the last answer was asked for before python-tuf asked."""

    def ask_at(self, address: str) -> None:
        """Ask for the metadata at another place from now on, where the same files are."""
        if address != self.address:
            self.address = address
            self._early.clear()

    def warm(self, url: str, length: int | None) -> None:
        """Begin to fetch ``url``, for when python-tuf asks for it.

        Args:
            url: Of a metadata file.
            length: Its length in bytes, as far as it is announced.
        """
        url = self._there(url)
        if self._transport.expects(url):
            return
        if url not in self._early and len(self._early) < EARLY_FILES:
            self._early[url] = self._transport.early(url, max_bytes=early_limit(length))

    def warmed(self, url: str) -> bytes | None:
        """What was fetched early from ``url``, unverified; waits for it. None if it was not."""
        early = self._under_way(self._there(url))
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
        url = self._there(url)
        self.last_url, self.last_error, self.last_was_early = url, None, False
        try:
            data = self._taken(url)
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
        """What a server says that the time is, or "". Nobody signs that.

        Raises:
            TransportError: There was no answer.
        """
        return self._transport.peek(url, accept=range(200, 600)).headers.get("Date", "")

    def _there(self, url: str) -> str:
        """Where what python-tuf asks for is asked for."""
        if url.startswith(self._known_address):
            return self.address + url.removeprefix(self._known_address)
        return url

    def _under_way(self, url: str) -> Early | None:
        """What was begun at ``url``, by this object or ahead of it; it is held from now on."""
        early = self._early.get(url) or self._transport.begun_ahead(url)
        if early is not None:
            self._early[url] = early
        return early

    def _taken(self, url: str) -> bytes | None:
        """What was fetched early, which is held no longer; None where it was not, or is longer."""
        early = self._under_way(url)
        if early is None:
            return None
        try:
            data = early.result()
        except TooLargeError:
            data = None
        except TransportError:
            del self._early[url]
            raise
        # Not before: a transport may say that it is not there yet, and is then asked again.
        del self._early[url]
        self.last_was_early = True
        return data

    def _fetch(self, url: str) -> Iterator[bytes]:
        # Only for `download_file`, which python-tuf uses for targets.
        yield self.download_bytes(url, MAX_METADATA_BYTES)


def _translate(error: TransportError) -> DownloadError:
    if isinstance(error, TooLargeError):
        return DownloadLengthMismatchError(str(error))
    if error.status is not None:
        return DownloadHTTPError(str(error), error.status)
    return DownloadError(str(error))
