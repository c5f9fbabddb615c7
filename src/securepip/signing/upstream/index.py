"""What a source of files owes its reader, and how a setting becomes a source.

A *source* answers for one project at a time with a ``Reading``: a fingerprint that stays the same
as long as nothing the page depends on has changed, and the page itself, which is only parsed when
somebody asks for it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

from packaging.utils import NormalizedName

from securepip.errors import UsageError
from securepip.signing.upstream.page import UpstreamPage
from securepip.transport import Transport, is_local, join_url, path_to_url, redact

ABSENT = ""
"""The fingerprint of a project that the source does not know."""


@dataclass(frozen=True)
class Reading:
    """What a source answered for a project.

    Attributes:
        source: The source's ``location``.
        fingerprint: Changes when the page or the local files it names change; ``ABSENT`` when the
            source does not know the project.
        validator: The ``ETag`` to ask with the next time; "" for none.
        load: Makes the page; None when the source does not know the project. Raises
            ``FormatError`` for what is no page, and ``TransportError``.
    """

    source: str
    fingerprint: str
    validator: str = ""
    load: Callable[[], UpstreamPage | None] = lambda: None


class Source(Protocol):
    """An index or a place of links."""

    @property
    def location(self) -> str:
        """Its address as it may be shown and stored: without credentials."""

    def read(self, project: NormalizedName, known: Reading | None) -> Reading:
        """What the source says of ``project`` now. Called from several threads.

        Args:
            project: Whose files are asked for.
            known: What it answered before (without ``load``), so that an unchanged page need not
                be sent again.

        Raises:
            TransportError: It did not answer.
            FormatError: Its answer cannot be a page.
        """


def open_sources(
    indexes: Sequence[str], find_links: Sequence[str], transport: Transport
) -> list[Source]:
    """The sources that these settings name, in pip's order: find-links before indexes.

    Args:
        indexes: http, https or file URLs, or folders, of simple indexes.
        find_links: URLs or paths of folders of distributions or of HTML pages of links.
        transport: Fetches everything.

    Raises:
        UsageError: One of them cannot be read from, or only without any protection.
    """
    from securepip.signing.upstream.file_index import FileIndex
    from securepip.signing.upstream.find_links import FindLinks
    from securepip.signing.upstream.http_index import HttpIndex

    sources: list[Source] = []
    for location in find_links:
        url = _as_url(location)
        _check_secure(url, transport)
        sources.append(FindLinks(url, transport))
    for location in indexes:
        url = _as_url(location).rstrip("/") + "/"
        _check_secure(url, transport)
        sources.append(FileIndex(url, transport) if is_local(url) else HttpIndex(url, transport))
    return sources


def _as_url(location: str) -> str:
    if "://" not in location and not location.startswith("file:"):
        return path_to_url(Path(location).expanduser())
    # Raises FormatError for a scheme that nobody here can fetch.
    return join_url(location, "")


def _check_secure(url: str, transport: Transport) -> None:
    """Refuse, as pip does, what anybody on the way could have written: it would be signed."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    trusted = {host, f"{host}:{parts.port}"} & set(transport.options.trusted_hosts)
    loopback = host in ("localhost", "::1") or host.startswith("127.")
    if parts.scheme == "http" and not loopback and not trusted:
        raise UsageError(
            f"{redact(url)} is not encrypted",
            meaning="Anybody between here and there could have their own files signed.",
            remedy=f"Use https, or make {host} a trusted-host in pip's configuration.",
        )
