"""Functions on URLs from people, pages and configurations: join, show, convert to paths."""

from __future__ import annotations

import ipaddress
import os
import re
from functools import lru_cache
from pathlib import Path
from urllib.parse import quote, urljoin, urlsplit, urlunsplit
from urllib.request import url2pathname

from securepip.errors import FormatError
from securepip.redaction import redact

SCHEMES = ("https", "http", "file")

# A URL, or an absolute path, that `urljoin` would not change: no dots to resolve, nothing quoted.
_PLAIN = re.compile(
    r"(?P<origin>https?://[a-zA-Z0-9][a-zA-Z0-9.-]*(:\d{1,4})?)?"
    r"(/(?!\.\.?(/|$))[\w.+~!-]+)+",
    re.ASCII,
)

# Nearly all requests are for such a URL, and parsing it would take a tenth of a request's time.
_SITE = re.compile(r"https?://[a-z0-9][a-z0-9.-]*(:\d{1,5})?/", re.ASCII)
_QUOTED = re.compile(_SITE.pattern + r"[\w.~/%@-]*", re.ASCII)


def join_url(base: str, url: str) -> str:
    """``url``, joined to ``base`` if it is relative.

    Raises:
        FormatError: The result is no http, https or file URL, or a file URL of another machine.
    """
    plain = _PLAIN.fullmatch(url)
    if plain and (plain["origin"] or base.startswith(("http://", "https://"))):
        # The usual case, for pages with thousands of links.
        return url if plain["origin"] else _origin(base) + url
    return _join(base, url)


@lru_cache(maxsize=64)
def _origin(base: str) -> str:
    return _join(base, "/").removesuffix("/")


def _join(base: str, url: str) -> str:
    try:
        joined = urljoin(base, url)
        parts = urlsplit(joined)
        _ = parts.port
        joined.encode()  # fails for a lone surrogate, which JSON can contain
    except ValueError:
        # The error's own text may quote a part of a password as a port.
        raise FormatError(f"not a URL: {redact(url)!r:.200}") from None
    if parts.scheme not in SCHEMES:
        raise FormatError(f"not an http, https or file URL: {redact(joined)!r:.200}")
    if parts.scheme == "file":
        file_url_to_path(joined)
    elif not parts.hostname:
        raise FormatError(f"a URL without a host: {redact(joined)!r:.200}")
    return joined


def is_local(url: str) -> bool:
    """Whether ``url`` names a file of this machine."""
    return url[:5].lower() == "file:"


def is_loopback(host: str) -> bool:
    """Whether a URL's ``host`` is a loopback address or ``localhost``.

    The beginning of a name says nothing: ``127.example.org`` may be anybody's.
    """
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def path_to_url(path: Path) -> str:
    """The ``file`` URL of ``path``, with symbolic links resolved; a folder's ends in a slash."""
    path = Path(os.path.realpath(path))  # `Path.resolve` fails if links form a circle
    url = path.as_uri()
    return f"{url}/" if path.is_dir() else url


def file_url_to_path(url: str) -> Path:
    """The path that a ``file`` URL names.

    Raises:
        FormatError: It names a file on another host, or no path at all. Opening the former on
            Windows would send the user's credentials to that host.
    """
    parts = urlsplit(url)
    if parts.scheme != "file" or parts.netloc not in ("", "localhost"):
        raise FormatError(f"not the URL of a file on this machine: {redact(url)!r:.200}")
    path = url2pathname(parts.path)
    if not path or "\0" in path or path.startswith("\\\\"):
        raise FormatError(f"not the URL of a file on this machine: {redact(url)!r:.200}")
    return Path(path)


def without_credentials(url: str) -> str:
    """``url`` without user name and password."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def site(url: str) -> str:
    """Scheme, host and port of ``url``, for messages."""
    plain = _SITE.match(url)
    if plain and "@" not in url:
        return plain[0]
    try:
        parts = urlsplit(redact(url))
    except ValueError:
        return redact(url)
    return f"{parts.scheme}://{parts.netloc}/"


def asked_as_pip(url: str) -> str:
    """``url`` with its path quoted as pip quotes it; what is quoted already stays as it is.

    It matters for the ``+`` of a local version, which some servers would read as a space.
    """
    if _QUOTED.fullmatch(url):
        return url
    try:
        parts = urlsplit(url)
    except ValueError:
        return url
    return urlunsplit(parts._replace(path=quote(parts.path, safe="/%@")))
