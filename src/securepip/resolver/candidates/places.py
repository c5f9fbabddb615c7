"""The user's own places of files: ``--find-links``, and indexes in folders of this machine.

Rule: only files on this machine are offered, by their names, and a file is read only when its turn
comes. A page may link to files elsewhere; no signature covers those, so they are skipped, and the
log says so. A hash or metadata that a page gives for a file is checked.

Sources: pip's documentation, "pip install" (finding packages); PEP 503, 592 and 714 for pages.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from mimetypes import guess_type
from pathlib import Path
from urllib.parse import urljoin

from packaging.utils import (
    InvalidSdistFilename,
    InvalidWheelFilename,
    NormalizedName,
    parse_sdist_filename,
    parse_wheel_filename,
)

from securepip.errors import FormatError, RequirementError
from securepip.formats.core_metadata import MAX_METADATA_BYTES
from securepip.formats.digests import parse_sha256
from securepip.formats.distribution import is_distribution
from securepip.index.types import UserFile
from securepip.resolver.candidates.hashes import mismatch
from securepip.resolver.requirements.links import (
    HASH,
    expand_home,
    hashes_of,
    is_url,
    parse_link,
    path_to_url,
    url_to_path,
)

_log = logging.getLogger(__name__)
_MAX_PAGE_BYTES = 64 << 20


@dataclass(frozen=True, eq=False)
class LocalFile:
    """A file in one of the user's places, which has not been read yet.

    Attributes:
        path: Where it is.
        filename: Its distribution file name.
        url: Its ``file:`` URL.
        why: What named it: ``--find-links DIR``, ``index file:…``, ``a lock file, FILE``.
        hash: The hash that a page gives for it, ``sha256:…``; "" if there is none.
        requires_python: The ``Requires-Python`` that a page gives for it.
        yanked: Why a page says that it is yanked, perhaps ""; None if it does not.
        core_metadata: The hash that a page gives for the ``.metadata`` file beside it,
            ``sha256:…``, or "" for a file without a hash; None if there is no such file.
    """

    path: Path
    filename: str
    url: str
    why: str
    hash: str = ""
    requires_python: str | None = None
    yanked: str | None = None
    core_metadata: str | None = None

    @cached_property
    def user_file(self) -> UserFile:
        """The file as a ``UserFile``. It is hashed now.

        Raises:
            RequirementError: It cannot be read.
            VerificationError: It has another hash than its page says.
        """
        kind = self.hash.partition(":")[0]
        found, size = hashes_of(self.path, {"sha256", kind or "sha256"})
        if self.hash and self.hash not in found:
            wrong = {one for one in found if one.startswith(f"{kind}:")}
            raise mismatch(self.filename, frozenset(wrong), frozenset({self.hash}), self.url)
        sha256 = next(one for one in found if one.startswith("sha256:"))
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

    def read_metadata_beside(self) -> bytes:
        """The ``.metadata`` file beside it, which its page announces (PEP 714).

        Raises:
            RequirementError: It does not exist, cannot be read, or is too large.
            VerificationError: It has another hash than the page says.
        """
        path = self.path.with_name(f"{self.path.name}.metadata")
        url = f"{self.url}.metadata"
        if not path.exists():
            raise RequirementError(
                f"404 Client Error: FileNotFoundError for url: {url}",
                meaning=f"The page of {self.why} says that this file is beside the distribution.",
            )
        if self.core_metadata:
            found, _ = hashes_of(path, [self.core_metadata.partition(":")[0]])
            if self.core_metadata not in found:
                raise mismatch(path.name, found, frozenset({self.core_metadata}), url)
        with path.open("rb") as stream:
            data = stream.read(MAX_METADATA_BYTES + 1)
        if len(data) > MAX_METADATA_BYTES:
            raise RequirementError(f"{path} is larger than {MAX_METADATA_BYTES} bytes")
        return data


class FindLinks:
    """The files in the places that ``--find-links`` names. Each place is read once.

    Args:
        places: Folders, files and pages of links, as paths or ``file:`` URLs.
        named_by: What names the places, for messages.

    Raises:
        RequirementError: A place is on another machine.
    """

    def __init__(self, places: Sequence[str], named_by: str = "--find-links") -> None:
        self._named_by = named_by
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
        """The project's files, then those on pages of links. Of equal ones the last is taken."""
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
            why = f"{self._named_by} {place}"
            entries = [str(path)] if path.is_file() else _entries(path)
            for entry in entries:
                if guess_type(path_to_url(entry), strict=False)[0] == "text/html":
                    listed += _read_page(Path(entry), why)
                elif (project := _project_of(Path(entry).name)) is not None:
                    archives.setdefault(project, []).append(_local_file(entry, why))
        return archives, listed


class OwnIndexes:
    """Simple indexes in folders of this machine: a folder with an ``index.html`` per project.

    Args:
        places: Paths or ``file:`` URLs.
    """

    def __init__(self, places: Sequence[str]) -> None:
        self._places = places

    def files(self, project: NormalizedName) -> list[LocalFile]:
        """The files on the project's pages, in their order. Of equal ones the last is taken."""
        found: list[LocalFile] = []
        for place in self._places:
            folder = _path_of(f"{place.rstrip('/')}/{project}/")
            if folder is not None and (folder / "index.html").is_file():
                found += _read_page(folder / "index.html", f"index {place}")
        return [one for one in found if _may_be_of(one.filename, project)]


def _path_of(place: str) -> Path | None:
    if os.path.exists(place):  # noqa: PTH110 - any text, perhaps no path at all
        return Path(os.path.abspath(place))  # noqa: PTH100 - drops `..`
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
    """Whether a file name may belong to the project; ``parse_distribution`` decides later."""
    return re.sub(r"[-_.]+", "-", filename).lower().startswith(f"{project}-")


def _local_file(path: str, why: str) -> LocalFile:
    return LocalFile(Path(path), Path(path).name, path_to_url(path), why)


def _read_page(page: Path, why: str) -> Iterator[LocalFile]:
    """The files on this machine that a page of links names. It logs which others are skipped."""
    try:
        with page.open("rb") as stream:
            text = stream.read(_MAX_PAGE_BYTES).decode("utf-8", errors="replace")
    except OSError as error:
        _log.warning("Could not read the page of links %s: %s", page, error)
        return
    try:
        from securepip.formats.links import Links  # a parser of HTML

        links = Links(text)
        base = urljoin(path_to_url(str(page)), links.base or "")
    except (FormatError, ValueError) as error:  # the latter for an invalid URL in `<base>`
        _log.warning("Could not read the page of links %s: %s", page, error)
        return
    for attributes in links.anchors:
        try:
            link = parse_link(urljoin(base, attributes["href"] or ""))
        except (RequirementError, ValueError):
            continue
        if link.path is None:
            if is_distribution(link.filename):
                _log.info("Skipping link: not on this machine, and not signed: %s", link.url)
            continue
        yield LocalFile(
            path=link.path,
            filename=link.filename,
            url=link.url,
            why=why,
            hash=link.hash,
            requires_python=attributes.get("data-requires-python"),
            yanked=(attributes["data-yanked"] or "") if "data-yanked" in attributes else None,
            core_metadata=_stated_metadata(attributes),
        )


def _stated_metadata(attributes: Mapping[str, str | None]) -> str | None:
    """The ``core_metadata`` of a link, by PEP 714 and the older PEP 658."""
    for name in ("data-core-metadata", "data-dist-info-metadata"):
        if name in attributes:
            stated = HASH.fullmatch(attributes[name] or "")
            return f"{stated[1]}:{stated[2].lower()}" if stated else ""
    return None
