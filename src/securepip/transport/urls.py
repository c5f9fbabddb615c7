"""URLs as they come from people, pages and configurations: joined, shown and turned into paths."""

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

# A URL or an absolute path that joining leaves as it is: no dots to resolve, nothing quoted.
_PLAIN = re.compile(
    r"(?P<origin>https?://[a-zA-Z0-9][a-zA-Z0-9.-]*(:\d{1,4})?)?"
    r"(/(?!\.\.?(/|$))[\w.+~!-]+)+",
    re.ASCII,
)

# Of a million requests nearly all are for such a URL; taking it apart is a tenth of one.
_SITE = re.compile(r"https?://[a-z0-9][a-z0-9.-]*(:\d{1,5})?/", re.ASCII)
_QUOTED = re.compile(_SITE.pattern + r"[\w.~/%@-]*", re.ASCII)


def join_url(base: str, url: str) -> str:
    """``url``, seen from ``base``; of a scheme that can be fetched.

    Raises:
        FormatError: The result is no http, https or file URL, or a file URL of another machine.
    """
    plain = _PLAIN.fullmatch(url)
    if plain and (plain["origin"] or base.startswith(("http://", "https://"))):
        # Nearly every link of a page of thousands.
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
        joined.encode()  # half of a surrogate pair, which JSON can hold, is no character
    except ValueError:
        # Not what the error says: it quotes what it takes for a port, perhaps half a password.
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
    """Whether ``host``, of a URL, is this machine: by its number, or as ``localhost``.

    Not by how a name begins: ``127.example.org`` is anybody's.
    """
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def path_to_url(path: Path) -> str:
    """The ``file`` URL of ``path``; of a folder with a slash at its end."""
    path = Path(os.path.realpath(path))  # pathlib's raises where links lead in a circle
    url = path.as_uri()
    return f"{url}/" if path.is_dir() else url


def file_url_to_path(url: str) -> Path:
    """The path that a ``file`` URL names.

    Raises:
        FormatError: It names a file on another host (which on Windows would send credentials
            there), or no path at all.
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
    """Scheme, host and port of ``url``: who is asked, for people."""
    plain = _SITE.match(url)
    if plain and "@" not in url:
        return plain[0]
    try:
        parts = urlsplit(redact(url))
    except ValueError:
        return redact(url)
    return f"{parts.scheme}://{parts.netloc}/"


def asked_as_pip(url: str) -> str:
    """``url`` with its path quoted as pip quotes it.

    Most of all the ``+`` of a local version, which some stores read as a space. What is quoted
    already stays as it is.
    """
    if _QUOTED.fullmatch(url):
        return url
    try:
        parts = urlsplit(url)
    except ValueError:
        return url
    return urlunsplit(parts._replace(path=quote(parts.path, safe="/%@")))
