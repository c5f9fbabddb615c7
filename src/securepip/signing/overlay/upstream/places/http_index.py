"""A simple index behind http or https. A project costs one request, with a 304 if unchanged."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping

from packaging.utils import NormalizedName, canonicalize_name

from securepip.errors import TransportError
from securepip.formats.digests import sha256_of
from securepip.formats.page import JSON_TYPE
from securepip.signing.overlay.upstream.fetch import ONE_DOCUMENT, get_page
from securepip.signing.overlay.upstream.interface import ABSENT, Reading
from securepip.signing.overlay.upstream.page import UpstreamPage
from securepip.signing.overlay.upstream.simple_api import ACCEPT, parse_simple_page
from securepip.transport import Answer, Transport, redact

_log = logging.getLogger(__name__)
_UNKNOWN = (404, 410)
_SERIAL = "_last-serial"


def _serial(answer: Answer) -> int:
    """The number of the project's last change, as the index says; 0 if it does not say."""
    text = answer.headers.get("X-PyPI-Last-Serial", "")
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 16 else 0


def never(project: NormalizedName) -> bool:
    """The ``refresh`` of an index that any cache may answer for."""
    return False


class HttpIndex:
    """A simple index on a server.

    Args:
        url: Its URL with a slash at the end, perhaps with credentials.
        transport: Fetches the pages.
        refresh: Tells whether caches must fetch a project's page anew (``--refresh-package``).
    """

    def __init__(
        self,
        url: str,
        transport: Transport,
        refresh: Callable[[NormalizedName], bool] = never,
    ) -> None:
        self.url = url
        self.location = redact(url)
        self._transport = transport
        self._refresh = refresh

    def read(self, project: NormalizedName, known: Reading | None) -> Reading:
        """See ``Source.read``."""
        answer = self._get(project, known.validator if known else "")
        if answer.status in _UNKNOWN:
            return Reading(self.location, ABSENT)
        if answer.status == 304 and known:
            return Reading(
                self.location,
                known.fingerprint,
                known.validator,
                # If another source of the project has changed, this page is needed after all.
                lambda: self._load(self._get(project, ""), project),
                _serial(answer) or known.serial,
            )
        return Reading(
            self.location,
            sha256_of(answer.body),
            answer.headers.get("ETag", "")[:1000],
            lambda: self._load(answer, project),
            _serial(answer),
        )

    def serials(self) -> Mapping[str, int]:
        """The number of each project's last change, from the list of all projects.

        It is empty if the index has no such list, or does not count changes.
        """
        try:
            answer = get_page(self._transport, self.url, headers={"Accept": JSON_TYPE})
            with ONE_DOCUMENT:
                listed = json.loads(answer.body)["projects"]
                return {
                    canonicalize_name(each["name"]): each[_SERIAL]
                    for each in listed
                    if type(each.get(_SERIAL)) is int
                }
        except (TransportError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
            return {}

    def _get(self, project: NormalizedName, validator: str) -> Answer:
        headers = {"Accept": ACCEPT}
        if self._refresh(project):
            headers["Cache-Control"] = "max-age=0"
        if validator:
            headers["If-None-Match"] = validator
        accept = (200, *_UNKNOWN, *((304,) if validator else ()))
        url = f"{self.url}{project}/"
        _log.debug("Getting page %s", redact(url))
        return get_page(self._transport, url, headers=headers, accept=accept)

    def _load(self, answer: Answer, project: NormalizedName) -> UpstreamPage | None:
        if answer.status in _UNKNOWN:
            return None
        content_type = answer.headers.get("Content-Type", "")
        return parse_simple_page(answer.body, content_type, answer.url, project)
