"""The files that an index offers: those that can be published, and those that cannot.

Rule: only ``judge`` makes an ``UpstreamFile``. It accepts a distribution of the project with a
plain name, at a URL that can be published for ever.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timezone
from enum import Enum
from typing import NamedTuple, TypeVar
from urllib.parse import parse_qsl, unquote, urldefrag, urlsplit

from packaging.utils import NormalizedName

from securepip.errors import FormatError
from securepip.formats.digests import NOT_KNOWN_YET, Sha256, parse_sha256
from securepip.formats.distribution import DistributionName, parse_distribution
from securepip.formats.layout import check_filename
from securepip.formats.page import MAX_PAGE_BYTES
from securepip.transport import is_local, join_url, without_credentials

# Parts of the names of query parameters that expire or are secret, at object stores and CDNs (S3,
# Google, Azure, Akamai, CloudFront and others).
_SECRET_PART = re.compile(
    r"sign|expir|token|hmac|auth|credential|secret|passw|session|key-?pair|policy|jwt|api_?key|^hdn"
)
_SECRET_KEYS = {"sig", "exp", "key", "ttl", "nonce", "se", "sp", "spr", "sr", "st", "sv", "sid"}

_TIME = re.compile(
    r"(?P<date>\d{4}-\d\d-\d\d)[Tt ](?P<time>\d\d:\d\d:\d\d)(\.(?P<fraction>\d{1,9}))?"
    r"(?P<offset>[Zz]|[+-]\d\d:?\d\d)",
    re.ASCII,
)
_MICROSECONDS = len("yyyy-mm-ddThh:mm:ss.ffffff")

MAX_FILE_BYTES = 1 << 40
"""The longest length that is believed: no distribution has more than a terabyte."""


class Reason(Enum):
    """Why a file that an index offers is not signed, in words for people."""

    NOT_A_DISTRIBUTION = "no wheel or sdist of the project"
    BAD_URL = "a URL that cannot be fetched"
    SIGNED_URL = "a URL with a signature or an expiry in it, which would not last"
    NO_SHA256 = "no sha256"
    NO_LENGTH = "no length"
    BLOCKED = "not to be had: its server refuses it"
    NO_UPLOAD_TIME = "no upload time, which --min-age needs"
    MISSING = "listed, but not there"
    WRONG_SHA256 = "not what the index says (sha256)"
    TOO_YOUNG = "younger than --min-age"
    NO_WITNESS = "not shown by every witness yet"
    WITHDRAWN = "taken out before with `repo remove`"
    CHANGED = "other bytes than those signed before"


@dataclass(frozen=True)
class LeftOut:
    """A file that is not signed."""

    filename: str
    reason: Reason


class UpstreamFile(NamedTuple):
    """A file that an index offers and that can be published.

    Attributes:
        filename: Its plain name.
        name: The parsed name.
        url: The URL that will be published: absolute, without credentials and fragment.
        sha256: Its digest; ``NOT_KNOWN_YET`` if the page does not give it.
        size: Its length in bytes; None if the page does not give it, or gives no sha256.
        requires_python: The specifier, as on the page; None if there is none.
        upload_time: When it was uploaded (UTC); None if the page does not say.
        yanked: Why it was yanked (perhaps ""); None if it was not.
        has_metadata: Whether there is a ``.metadata`` file; None if the page does not say.
        core_metadata: The digest of that file; None if the page does not give it.
        other_hash: If the page gives no sha256, another hash that it gives, such as ``md5:…``.
    """

    filename: str
    name: DistributionName
    url: str
    sha256: Sha256
    size: int | None = None
    requires_python: str | None = None
    upload_time: datetime | None = None
    yanked: str | None = None
    has_metadata: bool | None = None
    core_metadata: Sha256 | None = None
    other_hash: str | None = None


@dataclass(frozen=True)
class UpstreamPage:
    """The page of a project, of one index or of several together.

    Attributes:
        project: The normalized name.
        files: The files that can be published, in the order of the page, each name once.
        left_out: The files that cannot be published.
        status: The status of the project (PEP 792).
        status_reason: Why it has that status, for people.
        remarks: Remarks for people, a sentence each.
        without_sha256: The files among ``left_out`` for which only the sha256 is missing.
    """

    project: NormalizedName
    files: tuple[UpstreamFile, ...] = ()
    left_out: tuple[LeftOut, ...] = ()
    status: str = "active"
    status_reason: str | None = None
    remarks: tuple[str, ...] = ()
    without_sha256: tuple[UpstreamFile, ...] = ()

    @classmethod
    def of(cls, project: NormalizedName, judged: Iterable[UpstreamFile | LeftOut]) -> UpstreamPage:
        """Make a page of judged files. Of files with one name, the first one counts.

        Raises:
            FormatError: As ``limited``.
        """
        files: dict[str, UpstreamFile] = {}
        without_sha256: dict[str, UpstreamFile] = {}
        left_out: list[LeftOut] = []
        for each in limited(judged):
            if isinstance(each, LeftOut):
                left_out.append(each)
            elif each.sha256 == NOT_KNOWN_YET:
                left_out.append(LeftOut(each.filename, Reason.NO_SHA256))
                without_sha256.setdefault(each.filename, each)
            else:
                files.setdefault(each.filename, each)
        return cls(
            project,
            tuple(files.values()),
            tuple(left_out),
            without_sha256=tuple(
                file for name, file in without_sha256.items() if name not in files
            ),
        )


class Offer(NamedTuple):
    """A link on a page before it is judged, with every field as the page has it."""

    filename: str
    url: str
    sha256: str | None
    size: int | None = None
    requires_python: str | None = None
    upload_time: datetime | None = None
    yanked: str | None = None
    has_metadata: bool | None = None
    core_metadata: str | None = None
    other_hash: str | None = None


_Link = TypeVar("_Link", bound="Offer | UpstreamFile | LeftOut")


def limited(links: Iterable[_Link]) -> Iterator[_Link]:
    """Yield links as long as their URLs together are no longer than a page may be.

    Links are short on a page, and are joined to its URL or base, which a hostile index can make as
    long as it likes: 500,000 links and a base of a megabyte would fill any memory.

    Raises:
        FormatError: They are longer.
    """
    length = 0
    for link in links:
        length += 0 if isinstance(link, LeftOut) else len(link.url)
        if length > MAX_PAGE_BYTES:
            raise FormatError(f"the URLs of its files are longer than {MAX_PAGE_BYTES} bytes")
        yield link


def judge(offer: Offer, base: str, project: NormalizedName) -> UpstreamFile | LeftOut:
    """Decide whether a link can be published.

    Args:
        offer: The link.
        base: The URL of its page.
        project: The project of the page.

    Returns:
        The file, perhaps without a sha256 (``NOT_KNOWN_YET``); or the reason why it cannot be
        published.
    """

    def left_out(reason: Reason) -> LeftOut:
        return LeftOut(offer.filename[:200], reason)

    try:
        name = parse_distribution(check_filename(offer.filename), project)
    except FormatError:
        name = None
    if name is None:
        return left_out(Reason.NOT_A_DISTRIBUTION)
    try:
        url = join_url(base, offer.url.strip())
        if "@" in url or "#" in url:
            url = without_credentials(urldefrag(url).url)
        if not url.isascii():
            url.encode()
    except (FormatError, ValueError):
        return left_out(Reason.BAD_URL)
    # A page from the network must not make this machine read and hash its own files.
    if is_local(url) and not is_local(base):
        return left_out(Reason.BAD_URL)
    if has_secret_query(url):
        return left_out(Reason.SIGNED_URL)
    try:
        sha256 = NOT_KNOWN_YET if offer.sha256 is None else parse_sha256(offer.sha256)
    except FormatError:
        return left_out(Reason.NO_SHA256)
    metadata = _optional_sha256(offer.core_metadata)
    return UpstreamFile(
        offer.filename,
        name,
        url,
        sha256,
        plausible_size(offer.size) if sha256 else None,
        clean(offer.requires_python),
        _utc(offer.upload_time),
        clean(offer.yanked),
        offer.has_metadata,
        # Some servers give the digest of the distribution instead of that of its metadata.
        None if metadata == sha256 else metadata,
        None if sha256 else offer.other_hash,
    )


def plausible_size(size: object) -> int | None:
    """``size`` if it can be the length of a distribution in bytes; else None."""
    if not isinstance(size, int) or isinstance(size, bool):
        return None
    return size if 0 < size <= MAX_FILE_BYTES else None


def has_secret_query(url: str) -> bool:
    """Whether the query of ``url`` looks like a permission that expires or is secret."""
    if "?" not in url:
        return False
    for key, _ in parse_qsl(urlsplit(url).query, keep_blank_values=True):
        lowered = key.lower()
        if lowered in _SECRET_KEYS or _SECRET_PART.search(lowered):
            return True
    return False


def parse_upload_time(text: object) -> datetime | None:
    """The time in ``text`` (RFC 3339, with ``Z`` or another offset); None if it holds none."""
    if not isinstance(text, str):
        return None
    match = _TIME.fullmatch(text)
    if match is None:
        return None
    if match.end("fraction") == _MICROSECONDS and text[-1] == "Z":
        return _moment(f"{text[:10]}T{text[11:-1]}+00:00")
    offset = "+00:00" if match["offset"] in ("Z", "z") else match["offset"]
    if ":" not in offset:
        offset = f"{offset[:3]}:{offset[3:]}"
    fraction = (match["fraction"] or "").ljust(6, "0")[:6]
    return _moment(f"{match['date']}T{match['time']}.{fraction}{offset}")


def _moment(text: str) -> datetime | None:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return None


def filename_of(url: str) -> str:
    """The last part of the path of ``url``: pip takes it for the name of the file."""
    return unquote(urlsplit(url).path.rpartition("/")[2])


def _optional_sha256(text: str | None) -> Sha256 | None:
    if text is None:
        return None
    try:
        return parse_sha256(text)
    except FormatError:
        return None


def clean(text: str | None) -> str | None:
    """``text`` without lone surrogates, which JSON can hold and UTF-8 cannot."""
    if text is None or text.isascii():
        return text
    return text.encode("utf-8", "replace").decode()


def _utc(moment: datetime | None) -> datetime | None:
    """``moment`` in UTC; None if it is not a plausible time of an upload."""
    if moment is None or not 1990 < moment.year < 9000:
        return None
    if moment.tzinfo is timezone.utc:
        return moment
    if moment.tzinfo is None:
        return moment.replace(tzinfo=timezone.utc)
    return moment.astimezone(timezone.utc)
