"""A source of pip's ``find-links``: a folder of distributions, or one HTML page of links."""

from __future__ import annotations

from threading import Lock

from packaging.utils import NormalizedName, canonicalize_name

from securepip.errors import TransportError
from securepip.signing.overlay.upstream.interface import ABSENT, Reading
from securepip.signing.overlay.upstream.page import Offer, filename_of
from securepip.signing.overlay.upstream.places.local_files import fingerprint, judge_and_measure
from securepip.signing.overlay.upstream.simple_api import MAX_HTML_BYTES, parse_html
from securepip.transport import Transport, file_url_to_path, is_local, redact


class FindLinks:
    """A location of pip's ``find-links``.

    Args:
        url: The URL of a folder on this machine, or of an HTML page.
        transport: Reads the page.
    """

    def __init__(self, url: str, transport: Transport) -> None:
        self.url = url
        self.location = redact(url)
        self._transport = transport
        self._lock = Lock()
        self._listing: tuple[str, list[Offer]] | None = None

    def read(self, project: NormalizedName, known: Reading | None) -> Reading:
        """See ``Source.read``. The location is read once, for all projects."""
        base, links = self._read_once()
        # A file whose name begins with that of the project may belong to it: `judge` decides.
        offers = [link for link in links if canonicalize_name(link.filename).startswith(project)]
        if not offers:
            return Reading(self.location, ABSENT)
        listing = "\n".join(f"{offer.url} {offer.sha256}" for offer in offers).encode()
        return Reading(
            self.location,
            fingerprint(listing, offers, base),
            load=lambda: judge_and_measure(offers, base, project),
        )

    def _read_once(self) -> tuple[str, list[Offer]]:
        with self._lock:
            if self._listing is None:
                self._listing = self._read_all()
            return self._listing

    def _read_all(self) -> tuple[str, list[Offer]]:
        if is_local(self.url):
            path = file_url_to_path(self.url)
            if path.is_dir():
                try:
                    files = sorted(entry for entry in path.iterdir() if entry.is_file())
                except OSError as error:
                    raise TransportError(
                        f"{path} cannot be read: {error.strerror}", url=self.location
                    ) from None
                return self.url, [
                    Offer(filename=file.name, url=file.absolute().as_uri(), sha256=None)
                    for file in files
                ]
        answer = self._transport.get(self.url, max_bytes=MAX_HTML_BYTES)
        offers, _ = parse_html(answer.body, answer.url)
        return answer.url, [offer for offer in offers if filename_of(offer.url)]
