"""Handles URLs that a tool would fetch itself: what they name, and what vouches for the answer.

Rule: a URL is only a name here. The answer was signed, or has a hash that the user gave with the
URL.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from urllib.parse import unquote, urlsplit

from packaging.utils import NormalizedName

from securepip.errors import FormatError, UntrustedError, VerificationError
from securepip.formats.digests import Sha256, hashes_of_stream, parse_sha256
from securepip.formats.distribution import is_distribution, parse_distribution
from securepip.formats.layout import METADATA_SUFFIX, parse_project
from securepip.formats.page import PageFile, ProjectPage
from securepip.index.store import Incoming, Store
from securepip.index.verified import LocatedPage
from securepip.transport import Transport, join_url, redact
from securepip.transport.urls import without_credentials

_STRONG_HASH = re.compile(r"sha256:[0-9a-f]{64}|sha384:[0-9a-f]{96}|sha512:[0-9a-f]{128}")
_MAX_BYTES = 16 << 30

NOBODY_SIGNS = "stands for no repository that this machine trusts"
"""The words for an unknown index, or for a file that no signed page lists."""


class RefusedError(UntrustedError):
    """Nobody vouches for a URL."""


@dataclass(frozen=True)
class Address:
    """The parts of a URL.

    Attributes:
        url: The URL without user name, password and fragment.
        folder: Everything before its last part; for a project page, that is the index.
        project: Its last part as the name of a project; None if it cannot be one.
        filename: Its last part without ``.metadata``.
        is_metadata: Whether it ends with ``.metadata``.
    """

    url: str
    folder: str
    project: NormalizedName | None
    filename: str
    is_metadata: bool

    @cached_property
    def projects_of_file(self) -> tuple[NormalizedName, ...]:
        """The projects that a distribution of that name may belong to."""
        return tuple(dict.fromkeys(_projects(self.filename)))


def parse(url: str) -> Address:
    """Parse a URL.

    Raises:
        RefusedError: It is no http or https URL.
    """
    try:
        plain = without_credentials(join_url(url.partition("#")[0], ""))
    except (FormatError, ValueError):
        raise RefusedError(f"not a URL: {redact(url)!r:.200}") from None
    if urlsplit(plain).scheme not in ("http", "https"):
        raise RefusedError(f"not an http or https URL: {redact(plain)!r:.200}")
    path = plain.partition("?")[0].rstrip("/")
    folder, _, last = path.rpartition("/")
    name = unquote(last)
    project = None
    with suppress(FormatError):
        project = parse_project(name)
    return Address(
        url=plain,
        folder=f"{folder}/",
        project=project,
        filename=name.removesuffix(METADATA_SUFFIX),
        is_metadata=name.endswith(METADATA_SUFFIX),
    )


def with_absolute_urls(located: LocatedPage) -> ProjectPage:
    """The page with absolute URLs, without user names and passwords."""
    files = (file._replace(url=_absolute(located, file)) for file in located.page.files)
    return replace(located.page, files=tuple(files))


def file_at(located: LocatedPage, address: Address) -> PageFile | None:
    """The file on a page that ``address`` names, or whose metadata it names; None for none."""
    wanted = _place(address.url.removesuffix(METADATA_SUFFIX if address.is_metadata else ""))
    file = located.page.file(address.filename)
    # A file may have another name on the page than in its URL, so all files may have to be checked.
    for one in [file] if file is not None else located.page.files:
        if _place(_absolute(located, one)) == wanted:
            return one
    return None


def strong(hashes: frozenset[str]) -> frozenset[str]:
    """Those hashes for which nobody can make a second file."""
    return frozenset(one.lower() for one in hashes if _STRONG_HASH.fullmatch(one.lower()))


def fetch(
    url: str, hashes: frozenset[str], transport: Transport, store: Store
) -> tuple[str, Path, Sha256, int]:
    """Fetch a file that must have one of the hashes.

    Args:
        url: Its URL.
        hashes: The hashes, such as ``sha256:…``, ``sha384:…`` or ``sha512:…``.
        transport: Fetches it.
        store: Keeps it under its digest. A file in the store is not trusted because of that.

    Returns:
        Its name, its path in the store, its digest, and its length in bytes.

    Raises:
        VerificationError: It has none of the hashes.
        TransportError: It could not be fetched.
    """
    algorithms = {"sha256", *(one.partition(":")[0] for one in hashes)}
    kept: list[tuple[Sha256, int]] = []

    def fill(incoming: Incoming) -> None:
        transport.download(url, incoming.stream, max_bytes=_MAX_BYTES)
        incoming.stream.seek(0)
        actual, size = hashes_of_stream(incoming.stream, algorithms)
        if not actual & hashes:
            raise VerificationError(
                f"{redact(url)} does not have the hash that you named",
                meaning=f"Expected {' or '.join(sorted(hashes))}; got {', '.join(sorted(actual))}",
                remedy="Nothing was installed. Ask whoever gave you the hash what changed.",
            )
        (hex_digest,) = (one for one in actual if one.startswith("sha256:"))
        sha256 = parse_sha256(hex_digest.removeprefix("sha256:"))
        incoming.keep(sha256)
        kept.append((sha256, size))

    store.receive(fill)
    sha256, size = kept[-1]
    return parse(url).filename, store.path(sha256), sha256, size


def refusal(address: Address) -> RefusedError:
    """Make the error for a URL that nobody vouches for."""
    shown = redact(address.url)
    if is_distribution(address.filename):
        return RefusedError(
            f"{shown} is listed on no signed page, and no sha256, sha384 or sha512 hash was given",
            meaning="Nobody has signed it, so nothing could prove that it is what its authors "
            "made.",
            remedy="Add its hash: as `#sha256=…` at the end of the address, or with --hash.",
        )
    return RefusedError(
        f"{shown} {NOBODY_SIGNS}",
        meaning="Nobody signs what is offered there, so nothing could be verified.",
        remedy="To believe an index at first sight, and to refuse what it changes afterwards:\n"
        "  securepip trust first-use --index-url URL\n"
        "If a repository that you trust signs it, say so when you add it:\n"
        "  securepip trust add NAME LOCATION --root-sha256 FINGERPRINT --index-url URL\n"
        "Or leave it out: on the command line, in requirements files and in pip's configuration.",
    )


def _absolute(located: LocatedPage, file: PageFile) -> str:
    return without_credentials(join_url(located.url, file.url))


def _place(url: str) -> tuple[str, ...]:
    """The parts of a URL in a form that is equal for URLs that differ only in escapes and case."""
    parts = urlsplit(url)
    return parts.scheme, parts.netloc.lower(), unquote(parts.path), parts.query


def _projects(filename: str) -> Iterator[NormalizedName]:
    """The projects that may have a distribution of that name: any dash may end the project."""
    for dash in re.finditer("-", filename):
        with suppress(FormatError):
            project = parse_project(filename[: dash.start()])
            if parse_distribution(filename, project) is not None:
                yield project
