"""Opens the sources that settings name: find-links before indexes, all with the same interface.

Rule: a URL without encryption is refused here, before it is used: anybody on the way could answer.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from urllib.parse import urlsplit

from packaging.utils import NormalizedName

from securepip.dirs import user_path
from securepip.errors import UsageError
from securepip.signing.overlay.upstream.interface import Source
from securepip.signing.overlay.upstream.places.file_index import FileIndex
from securepip.signing.overlay.upstream.places.find_links import FindLinks
from securepip.signing.overlay.upstream.places.http_index import HttpIndex, never
from securepip.transport import Transport, is_local, is_loopback, join_url, path_to_url, redact


def open_sources(
    indexes: Sequence[str],
    find_links: Sequence[str],
    transport: Transport,
    refresh: Callable[[NormalizedName], bool] = never,
) -> list[Source]:
    """The sources that these settings name, in pip's order: find-links before indexes.

    Args:
        indexes: http, https or file URLs, or folders, of simple indexes.
        find_links: URLs or paths of folders of distributions or of HTML pages of links.
        transport: Fetches everything.
        refresh: Tells whether caches must fetch a project's page anew.

    Raises:
        FormatError: A location has a scheme that cannot be fetched.
        UsageError: A location is plain http, so that anybody on the way could answer.
    """
    sources: list[Source] = []
    for location in find_links:
        url = _as_url(location)
        check_encrypted(url, transport.options.trusted_hosts)
        sources.append(FindLinks(url, transport))
    for location in indexes:
        url = _as_url(location).rstrip("/") + "/"
        check_encrypted(url, transport.options.trusted_hosts)
        sources.append(
            FileIndex(url, transport) if is_local(url) else HttpIndex(url, transport, refresh)
        )
    return sources


def _as_url(location: str) -> str:
    if "://" not in location and not location.startswith("file:"):
        return path_to_url(user_path(location))
    # Raises FormatError for a scheme that nobody here can fetch.
    return join_url(location, "")


def check_encrypted(url: str, trusted_hosts: Sequence[str]) -> None:
    """Refuse plain http, as pip does: anybody on the way could have their own files signed.

    Args:
        url: The URL of an index, or of a page of links.
        trusted_hosts: pip's trusted hosts, perhaps with a port, which need no encryption.

    Raises:
        UsageError: It is plain http to another host than this machine or a trusted host.
    """
    parts = urlsplit(url)
    host = parts.hostname or ""
    trusted = {host, f"{host}:{parts.port}"} & set(trusted_hosts)
    if parts.scheme == "http" and not is_loopback(host) and not trusted:
        raise UsageError(
            f"{redact(url)} is not encrypted",
            meaning="Anybody between here and there could have their own files signed.",
            remedy=f"Use https, or make {host} a trusted-host in pip's configuration.",
        )
