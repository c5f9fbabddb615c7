"""Paths and direct URLs that the user names.

Rule: no signature covers a URL elsewhere. It is used only with a hash that the user gave, and this
module does not fetch it.

Source: pip's documentation, "pip install" (argument handling).
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qsl, unquote, urlsplit, urlunsplit

from securepip.errors import RequirementError
from securepip.formats.digests import hashes_of_stream
from securepip.formats.distribution import WHEEL_SUFFIX

_VCS = re.compile(r"(?:ssh|git|hg|svn|bzr|sftp)(?:\+[a-z]+)?$")

HASH = re.compile(r"(sha512|sha384|sha256|sha224|sha1|md5)=([^&]*)")
"""A hash in a URL's fragment or on a page."""

STRONG_HASHES = ("sha256", "sha384", "sha512")
"""The algorithms of hashes that the user may give."""


@dataclass(frozen=True)
class UserLink:
    """A path or a direct URL that a requirement names.

    Attributes:
        url: The URL, ``file:`` for a path; without fragment.
        path: The file or folder, if it is on this machine.
        hash: The hash in the fragment, ``sha256:…``; "" if there is none.
        subdirectory: Where in it the project is (``#subdirectory=``); "" is the top.
        egg: The project, perhaps with extras, in the fragment (``#egg=``); "" if there is none.
    """

    url: str
    path: Path | None = None
    hash: str = ""
    subdirectory: str = ""
    egg: str = ""

    @property
    def identity(self) -> tuple[object, ...]:
        """A value that is equal for two links to the same thing, however they are written."""
        parts = urlsplit(self.url)
        place = ("file", str(self.path)) if self.path else (parts.netloc, unquote(parts.path))
        query = sorted(parse_qsl(parts.query, keep_blank_values=True))
        return (*place, tuple(query), self.subdirectory, self.hash)

    @property
    def public_url(self) -> str:
        """The URL without credentials, to be recorded where others can read it (PEP 610)."""
        parts = urlsplit(self.url)
        _, login, host = parts.netloc.rpartition("@")
        return urlunsplit(parts._replace(netloc=host)) if login else self.url

    @property
    def filename(self) -> str:
        """The last part of its path."""
        return unquote(urlsplit(self.url).path.rstrip("/").rsplit("/", 1)[-1])

    @property
    def is_directory(self) -> bool:
        """Whether it is a folder on this machine."""
        return self.path is not None and self.path.is_dir()

    @property
    def is_wheel(self) -> bool:
        """Whether its name is that of a wheel."""
        return self.filename.endswith(WHEEL_SUFFIX)

    @property
    def shown(self) -> str:
        """The path, or else the URL, for messages."""
        return self.url if self.path is None else str(self.path)


def is_url(text: str) -> bool:
    """Whether ``text`` begins like a URL."""
    scheme = text.partition(":")[0].lower() if ":" in text else ""
    return scheme in ("http", "https", "file", "ftp") or is_vcs(text)


def is_vcs(url: str) -> bool:
    """Whether ``url`` is that of a version control system's repository."""
    scheme, colon, _ = url.partition(":")
    return bool(colon) and _VCS.match(scheme.lower()) is not None


def path_to_url(path: str) -> str:
    """The ``file:`` URL of a path, made absolute."""
    # Imported late: it imports `http.client` and `ssl`.
    from urllib.request import pathname2url

    return "file://" + pathname2url(os.path.abspath(path))  # noqa: PTH100 - drops `..`


def url_to_path(url: str) -> Path:
    """The path that a ``file:`` URL names.

    Raises:
        RequirementError: It names another machine.
    """
    parts = urlsplit(url)
    if parts.netloc not in ("", "localhost"):
        raise RequirementError(
            f"non-local file URIs are not supported on this platform: {url!r}",
        )
    # Imported late: it imports `http.client` and `ssl`.
    from urllib.request import url2pathname

    return Path(url2pathname(parts.path))


def parse_link(url: str) -> UserLink:
    """Parse a direct URL.

    Raises:
        RequirementError: It is a ``file:`` URL of another machine, or is not valid.
    """
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise RequirementError(f"Invalid URL given: {url!r}: {error}") from None
    fields = dict(field.partition("=")[::2] for field in parts.fragment.split("&"))
    stated = HASH.search(parts.fragment)
    path = url_to_path(url) if parts.scheme.lower() == "file" else None
    plain = urlunsplit(parts._replace(fragment=""))
    if path is not None and ("../" in plain or not path.is_absolute()):
        # As in pip, `file:sub/x` is relative to the current folder, as `./sub/x` is.
        path = Path(os.path.abspath(path))  # noqa: PTH100 - drops `..`
        plain = path_to_url(str(path))
    return UserLink(
        url=f"file://{plain[5:]}" if path and not plain.startswith("file://") else plain,
        path=path,
        hash=f"{stated[1]}:{stated[2].lower()}" if stated else "",
        subdirectory=unquote(fields.get("subdirectory", "")),
        egg=unquote(fields.get("egg", "")),
    )


def link_to_path(path: str) -> UserLink:
    """The link of a path."""
    absolute = os.path.normpath(os.path.abspath(path))  # noqa: PTH100 - drops `..`
    return UserLink(path_to_url(absolute), Path(absolute))


def expand_home(place: str) -> str:
    """``place`` with ``~`` expanded, if that path exists."""
    if place.startswith("~"):
        expanded = os.path.expanduser(place)  # noqa: PTH111 - compared as text
        if os.path.exists(expanded):  # noqa: PTH110 - likewise
            return expanded
    return place


def hashes_of(path: Path, algorithms: Iterable[str]) -> tuple[frozenset[str], int]:
    """The hashes of a file, ``sha256:…`` for each algorithm, and its length in bytes.

    Raises:
        RequirementError: It cannot be read.
    """
    try:
        with path.open("rb") as stream:
            return hashes_of_stream(stream, algorithms)
    except (OSError, ValueError) as error:  # the latter for a null character in the path
        raise RequirementError(f"Could not install packages due to an OSError: {error}") from None
