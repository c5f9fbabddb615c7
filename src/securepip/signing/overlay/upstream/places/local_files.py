"""Measures and hashes the files on this machine that a page or a folder offers.

Rule: the signed length and digest of a local file are those of its bytes on disk; a file for which
the page says something else is left out. Files are hashed when the page is needed, and not again
while their sizes and times stay the same.
"""

from __future__ import annotations

import hashlib
import stat
from collections.abc import Iterable, Sequence

from packaging.utils import NormalizedName

from securepip.errors import FormatError
from securepip.formats.digests import NOT_KNOWN_YET, hashes_of_stream, sha256_of_stream
from securepip.signing.overlay.upstream.page import (
    LeftOut,
    Offer,
    Reason,
    UpstreamFile,
    UpstreamPage,
    judge,
)
from securepip.transport import file_url_to_path, is_local, join_url


def fingerprint(page: bytes, offers: Iterable[Offer], base: str) -> str:
    """A digest of a page, and of the sizes and times of the local files on it."""
    digest = hashlib.sha256(page)
    for offer in offers:
        try:
            url = join_url(base, offer.url)
            status = file_url_to_path(url).stat() if is_local(url) and is_local(base) else None
        except (FormatError, OSError, ValueError):
            continue
        if status is not None:
            digest.update(f"{url} {status.st_size} {status.st_mtime_ns}\n".encode())
    return digest.hexdigest()


def judge_and_measure(offers: Sequence[Offer], base: str, project: NormalizedName) -> UpstreamPage:
    """The page of the judged links. Local files get the length and sha256 of the bytes on disk."""
    judged = (judge(offer, base, project) for offer in offers)
    return UpstreamPage.of(
        project,
        (
            _measure(each) if isinstance(each, UpstreamFile) and is_local(each.url) else each
            for each in judged
        ),
    )


def _measure(file: UpstreamFile) -> UpstreamFile | LeftOut:
    path = file_url_to_path(file.url)
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            return LeftOut(file.filename, Reason.MISSING)
        with path.open("rb") as stream:
            sha256, size = sha256_of_stream(stream)
            stream.seek(0)
            kinds = [file.other_hash.partition(":")[0]] if file.other_hash else []
            others, _ = hashes_of_stream(stream, kinds) if kinds else (frozenset(), 0)
    except OSError:
        return LeftOut(file.filename, Reason.MISSING)
    if file.sha256 not in (NOT_KNOWN_YET, sha256) or others != set(filter(None, [file.other_hash])):
        return LeftOut(file.filename, Reason.WRONG_SHA256)
    # There is no `.metadata` file on disk: an install reads the metadata in the verified wheel.
    return file._replace(
        sha256=sha256, size=size, has_metadata=False, core_metadata=None, other_hash=None
    )
