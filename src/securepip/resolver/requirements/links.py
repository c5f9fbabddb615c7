"""Paths and addresses of their own that the user names.

Rule: an address elsewhere has no signature; it counts only with a hash that the user gave, and is
fetched by someone else.

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
"""A hash as URLs and pages say it."""

STRONG_HASHES = ("sha256", "sha384", "sha512")
"""What a hash that the user gives may be made with."""


@dataclass(frozen=True)
class UserLink:
    """A path or an address of its own that a requirement names.

    Attributes:
        url: ``file:`` or ``https:``, without fragment.
        path: The file or folder, when it is on this machine.
        hash: What the fragment says, ``sha256:…``, or "".
        subdirectory: Where in it the project is (``#subdirectory=``), or "".
        egg: The project, perhaps with extras, that the fragment names (``#egg=``), or "".
    """

    url: str
    path: Path | None = None
    hash: str = ""
    subdirectory: str = ""
    egg: str = ""

    @property
    def identity(self) -> tuple[object, ...]:
        """What two links have in common that lead to the same, however they are written."""
        parts = urlsplit(self.url)
        place = ("file", str(self.path)) if self.path else (parts.netloc, unquote(parts.path))
        query = sorted(parse_qsl(parts.query, keep_blank_values=True))
        return (*place, tuple(query), self.subdirectory, self.hash)

    @property
    def public_url(self) -> str:
        """Its URL without user name and password: what is recorded is read by others (PEP 610)."""
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
        """As messages name it."""
        return self.url if self.path is None else str(self.path)


def is_url(text: str) -> bool:
    """Whether ``text`` begins as an address does."""
    scheme = text.partition(":")[0].lower() if ":" in text else ""
    return scheme in ("http", "https", "file", "ftp") or is_vcs(text)


def is_vcs(url: str) -> bool:
    """Whether it is the address of a version control system's repository."""
    scheme, colon, _ = url.partition(":")
    return bool(colon) and _VCS.match(scheme.lower()) is not None


def path_to_url(path: str) -> str:
    """The ``file:`` URL of a path, made absolute."""
    # Here, because it brings the whole of `http.client` and `ssl` along.
    from urllib.request import pathname2url

    return "file://" + pathname2url(os.path.abspath(path))  # noqa: PTH100 - `..` too


def url_to_path(url: str) -> Path:
    """The path that a ``file:`` URL names.

    Raises:
        RequirementError: It is on another machine.
    """
    parts = urlsplit(url)
    if parts.netloc not in ("", "localhost"):
        raise RequirementError(
            f"non-local file URIs are not supported on this platform: {url!r}",
        )
    # Here, because it brings the whole of `http.client` and `ssl` along.
    from urllib.request import url2pathname

    return Path(url2pathname(parts.path))


def parse_link(url: str) -> UserLink:
    """What an address says.

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
        # As pip: relative to where the command runs, with `file:sub/x` as with `./sub/x`.
        path = Path(os.path.abspath(path))  # noqa: PTH100 - `..` too
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
    absolute = os.path.normpath(os.path.abspath(path))  # noqa: PTH100 - `..` too
    return UserLink(path_to_url(absolute), Path(absolute))


def expand_home(place: str) -> str:
    """A place with ``~`` filled in, where that exists."""
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
    except (OSError, ValueError) as error:  # the latter: a null character in its path
        raise RequirementError(f"Could not install packages due to an OSError: {error}") from None
