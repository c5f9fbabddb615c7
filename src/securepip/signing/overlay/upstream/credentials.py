"""User names and passwords of indexes: sent to their hosts, never shown or published."""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import urlsplit, urlunsplit


class Credentials:
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
