"""Paths and addresses of their own that the user names, and ``--find-links``.

Rule: only what is on this machine is looked at here, and nothing of it is read before its turn:
names decide. An address elsewhere has no signature; it counts only with a hash that the user
gave, and is fetched by someone else.

Sources: pip's documentation, "pip install" (argument handling, finding packages); PEP 503 and 592
for pages of links.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from html.parser import HTMLParser
from mimetypes import guess_type
from pathlib import Path
from urllib.parse import parse_qsl, unquote, urljoin, urlsplit, urlunsplit
from urllib.request import pathname2url, url2pathname

from packaging.utils import (
    InvalidSdistFilename,
    InvalidWheelFilename,
    NormalizedName,
    parse_sdist_filename,
    parse_wheel_filename,
)

from securepip.errors import RequirementError
from securepip.formats.digests import hashes_of_stream, parse_sha256
from securepip.formats.distribution import WHEEL_SUFFIX, is_distribution
from securepip.index.types import UserFile

_log = logging.getLogger(__name__)
_VCS = re.compile(r"(?:ssh|git|hg|svn|bzr|sftp)(?:\+[a-z]+)?$")
_HASH = re.compile(r"(sha512|sha384|sha256|sha224|sha1|md5)=([^&]*)")
_MAX_PAGE_BYTES = 64 << 20

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
    stated = _HASH.search(parts.fragment)
    path = url_to_path(url) if parts.scheme.lower() == "file" else None
    plain = urlunsplit(parts._replace(fragment=""))
    if path is not None and "../" in plain:
        path = Path(os.path.normpath(path))
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


def hashes_of(path: Path, algorithms: Iterable[str]) -> tuple[frozenset[str], int]:
    """The hashes of a file, ``sha256:…`` for each algorithm, and its length in bytes.

    Raises:
        RequirementError: It cannot be read.
    """
    try:
        with path.open("rb") as stream:
            return hashes_of_stream(stream, algorithms)
    except OSError as error:
        raise RequirementError(f"Could not install packages due to an OSError: {error}") from None


@dataclass(frozen=True, eq=False)
class LocalFile:
    """A file of a ``--find-links`` place. Its bytes have not been looked at.

    Attributes:
        path: Where it is.
        filename: Its distribution name.
        url: Its ``file:`` URL.
        why: The option that named it.
        hash: What a page of links says of it, ``sha256:…``, or "".
        requires_python: As a page of links says it.
        yanked: Why a page of links yanks it, perhaps ""; None when it does not.
    """

    path: Path
    filename: str
    url: str
    why: str
    hash: str = ""
    requires_python: str | None = None
    yanked: str | None = None

    core_metadata = None

    @cached_property
    def user_file(self) -> UserFile:
        """It, hashed now.

        Raises:
            RequirementError: It cannot be read.
        """
        (sha256,), size = hashes_of(self.path, ["sha256"])
        return UserFile(
            path=self.path,
            filename=self.filename,
            sha256=parse_sha256(sha256.partition(":")[2]),
            size=size,
            url=self.url,
            why=self.why,
            requires_python=self.requires_python,
            yanked=self.yanked,
        )


class FindLinks:
    """The files in the places that ``--find-links`` names. Each place is looked at once.

    Args:
        places: Folders, files and pages of links, as paths or ``file:`` URLs.

    Raises:
        RequirementError: A place is on another machine.
    """

    def __init__(self, places: Sequence[str]) -> None:
        self._places = list(dict.fromkeys(map(expand_home, places)))
        for place in self._places:
            if is_url(place) and not place.lower().startswith("file:"):
                raise RequirementError(
                    f"--find-links {place} is not on this machine.",
                    meaning="No trusted repository signs what it links to, so nothing could prove "
                    "that it is what its authors made.",
                    remedy="Download the files that you want, look at them, and name their folder.",
                )

    def files(self, project: NormalizedName) -> list[LocalFile]:
        """The project's archives, then those on pages of links: of equals, the last is taken."""
        found = {one.url: one for one in self._found[0].get(project, ())}
        archives = sorted(found.values(), key=lambda one: one.url, reverse=True)
        pages = (one for one in self._found[1] if _may_be_of(one.filename, project))
        return [*archives, *pages]

    @cached_property
    def _found(self) -> tuple[Mapping[NormalizedName, Sequence[LocalFile]], Sequence[LocalFile]]:
        archives: dict[NormalizedName, list[LocalFile]] = {}
        listed: list[LocalFile] = []
        for place in self._places:
            path = _path_of(place)
            if path is None:
                continue
            entries = [str(path)] if path.is_file() else _entries(path)
            for entry in entries:
                if guess_type(path_to_url(entry), strict=False)[0] == "text/html":
                    listed += _read_page(Path(entry), place)
                elif (project := _project_of(Path(entry).name)) is not None:
                    archives.setdefault(project, []).append(_local_file(entry, place))
        return archives, listed


def expand_home(place: str) -> str:
    """A place with ``~`` filled in, where that exists."""
    if place.startswith("~"):
        expanded = os.path.expanduser(place)  # noqa: PTH111 - compared as text
        if os.path.exists(expanded):  # noqa: PTH110 - likewise
            return expanded
    return place


def _path_of(place: str) -> Path | None:
    if os.path.exists(place):  # noqa: PTH110 - any text, perhaps no path at all
        return Path(os.path.abspath(place))  # noqa: PTH100 - `..` too
    if not place.lower().startswith("file:"):
        _log.warning(
            "Location '%s' is ignored: it is either a non-existing path or lacks a specific "
            "scheme.",
            place,
        )
        return None
    path = url_to_path(place)
    if not path.exists():
        _log.warning("Location '%s' is ignored: it is neither a file nor a directory.", place)
        return None
    return path


def _entries(folder: Path) -> Iterator[str]:
    with os.scandir(folder) as entries:
        for entry in entries:
            yield entry.path


def _project_of(filename: str) -> NormalizedName | None:
    try:
        return parse_wheel_filename(filename)[0]
    except InvalidWheelFilename:
        pass
    try:
        return parse_sdist_filename(filename)[0]
    except InvalidSdistFilename:
        return None


def _may_be_of(filename: str, project: NormalizedName) -> bool:
    """A cheap look; ``parse_distribution`` decides."""
    return re.sub(r"[-_.]+", "-", filename).lower().startswith(f"{project}-")


def _local_file(path: str, place: str) -> LocalFile:
    return LocalFile(Path(path), Path(path).name, path_to_url(path), f"--find-links {place}")


def _read_page(page: Path, place: str) -> Iterator[LocalFile]:
    """The files on this machine that a page of links names; others are passed over, and said."""
    try:
        with page.open("rb") as stream:
            text = stream.read(_MAX_PAGE_BYTES).decode("utf-8", errors="replace")
    except OSError as error:
        _log.warning("Could not read the page of links %s: %s", page, error)
        return
    parser = _Anchors()
    parser.feed(text)
    base = urljoin(path_to_url(str(page)), parser.base or "")
    for attributes in parser.anchors:
        url = urljoin(base, attributes["href"] or "")
        try:
            link = parse_link(url)
        except RequirementError:
            continue
        if link.path is None:
            if is_distribution(link.filename):
                _log.info("Skipping link: not on this machine, and not signed: %s", link.url)
            continue
        yield LocalFile(
            path=link.path,
            filename=link.filename,
            url=link.url,
            why=f"--find-links {place}",
            hash=link.hash,
            requires_python=attributes.get("data-requires-python"),
            yanked=(attributes["data-yanked"] or "") if "data-yanked" in attributes else None,
        )


class _Anchors(HTMLParser):
    """The links of a page."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.base: str | None = None
        self.anchors: list[dict[str, str | None]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = dict(attrs)
        if tag == "base" and self.base is None:
            self.base = attributes.get("href")
        elif tag == "a" and attributes.get("href"):
            self.anchors.append(attributes)
