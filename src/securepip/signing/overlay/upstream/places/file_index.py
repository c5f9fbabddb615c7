"""A simple index in a folder of this machine: ``<project>/index.html``, as pip reads it."""

from __future__ import annotations

from dataclasses import replace

from packaging.utils import NormalizedName

from securepip.errors import TransportError
from securepip.signing.overlay.upstream.interface import ABSENT, Reading
from securepip.signing.overlay.upstream.page import UpstreamPage
from securepip.signing.overlay.upstream.places.local_files import fingerprint, judge_and_measure
from securepip.signing.overlay.upstream.simple_api import MAX_HTML_BYTES, parse_html
from securepip.transport import Transport


class FileIndex:
    """A simple index on disk.

    Args:
        url: A file URL, with a slash at its end.
        transport: Reads the pages.
    """

    def __init__(self, url: str, transport: Transport) -> None:
        self.location = url
        self._transport = transport

    def read(self, project: NormalizedName, known: Reading | None) -> Reading:
        """See ``Source.read``. ``known`` is not needed: reading from disk costs nothing."""
        url = f"{self.location}{project}/index.html"
        try:
            body = self._transport.get(url, max_bytes=MAX_HTML_BYTES).body
        except TransportError as error:
            if error.status == 404:
                return Reading(self.location, ABSENT)
            raise
        offers, status = parse_html(body, url)

        def load() -> UpstreamPage:
            page = judge_and_measure(offers, url, project)
            return replace(page, status=status.status, status_reason=status.reason)

        return Reading(self.location, fingerprint(body, offers, url), load=load)
