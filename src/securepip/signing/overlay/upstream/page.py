"""The nouns of an index that does not sign: the files it offers, and those that cannot be taken.

Rule: ``judge`` is the only maker of an ``UpstreamFile``. What it lets through is a distribution of
the project, under a plain name, at a URL that can be published for ever.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timezone
from enum import Enum
from typing import NamedTuple
from urllib.parse import parse_qsl, unquote, urldefrag, urlsplit

from packaging.utils import NormalizedName

from securepip.errors import FormatError
from securepip.formats.digests import NOT_KNOWN_YET, Sha256, parse_sha256
from securepip.formats.distribution import DistributionName, parse_distribution
from securepip.formats.layout import check_filename
from securepip.transport import is_local, join_url, without_credentials

# Parts of the names that object stores and CDNs give to query parameters which stop to work, or
# which are a secret (S3, Google, Azure, Akamai, CloudFront and homes of their own making).
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
"""A length beyond it is none: no distribution is as large as a terabyte."""


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
    """One file that an index offers, as far as the index says.

    Attributes:
        filename: Its plain name.
        name: What the name says.
        url: Absolute, without credentials and fragment: what will be published.
        sha256: Its digest; ``NOT_KNOWN_YET`` when the page does not say.
        size: Bytes, or None when the page does not say, or says no sha256.
        requires_python: As written.
        upload_time: UTC, or None when the page does not say.
        yanked: Why it was yanked (perhaps ""), or None.
        has_metadata: Whether there is a ``.metadata`` file; None when the page does not say.
        core_metadata: The digest of that file, when the page has it.
        other_hash: Where the page says no sha256, another hash that it says, ``md5:…``.
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
    """What one index, or several united, say of a project.

    Attributes:
        project: The normalized name.
        files: In the order of the page, each name once.
        left_out: What the index offers and cannot be taken.
        without_sha256: Files among ``left_out`` that could be taken if somebody read them whole.
        status: PEP 792.
        status_reason: Why, for people.
        remarks: What people should know, a sentence each.
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
        """The page of what was judged, each name once (the first one)."""
        files: dict[str, UpstreamFile] = {}
        without_sha256: dict[str, UpstreamFile] = {}
        left_out: list[LeftOut] = []
        for each in judged:
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
    """A link of a page before it was judged: every field as the page has it."""

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


def judge(offer: Offer, base: str, project: NormalizedName) -> UpstreamFile | LeftOut:
    """``offer``, found on a page at ``base``, if it can be published for ``project``.

    Whoever wants no file without a sha256 has to look at that.
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
    # A page from the network that points into this machine would have its files read and hashed.
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
        # Some servers give the digest of the file itself.
        None if metadata == sha256 else metadata,
        None if sha256 else offer.other_hash,
    )


def plausible_size(size: object) -> int | None:
    """``size`` if it can be the length of a distribution, none of which is empty."""
    if not isinstance(size, int) or isinstance(size, bool):
        return None
    return size if 0 < size <= MAX_FILE_BYTES else None


def has_secret_query(url: str) -> bool:
    """Whether the query of ``url`` looks like a permission, which expires or is a secret."""
    if "?" not in url:
        return False
    for key, _ in parse_qsl(urlsplit(url).query, keep_blank_values=True):
        lowered = key.lower()
        if lowered in _SECRET_KEYS or _SECRET_PART.search(lowered):
            return True
    return False


def parse_upload_time(text: object) -> datetime | None:
    """The moment that an index gives (RFC 3339), with ``Z`` or another offset; None for none."""
    if not isinstance(text, str):
        return None
    found = _TIME.fullmatch(text)
    if found is None:
        return None
    if found.end("fraction") == _MICROSECONDS and text[-1] == "Z":
        return _moment(f"{text[:10]}T{text[11:-1]}+00:00")
    offset = "+00:00" if found["offset"] in ("Z", "z") else found["offset"]
    if ":" not in offset:
        offset = f"{offset[:3]}:{offset[3:]}"
    fraction = (found["fraction"] or "").ljust(6, "0")[:6]
    return _moment(f"{found['date']}T{found['time']}.{fraction}{offset}")


def _moment(text: str) -> datetime | None:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return None


def filename_of(url: str) -> str:
    """The last part of the path of ``url``: what pip takes for the file's name."""
    return unquote(urlsplit(url).path.rpartition("/")[2])


def _optional_sha256(text: str | None) -> Sha256 | None:
    if text is None:
        return None
    try:
        return parse_sha256(text)
    except FormatError:
        return None


def clean(text: str | None) -> str | None:
    """``text`` as it can be written: JSON may hold halves of characters that UTF-8 has not."""
    if text is None or text.isascii():
        return text
    return text.encode("utf-8", "replace").decode()


def _utc(moment: datetime | None) -> datetime | None:
    """``moment`` in UTC, or None when no index can have been there at that time."""
    if moment is None or not 1990 < moment.year < 9000:
        return None
    if moment.tzinfo is timezone.utc:
        return moment
    if moment.tzinfo is None:
        return moment.replace(tzinfo=timezone.utc)
    return moment.astimezone(timezone.utc)
