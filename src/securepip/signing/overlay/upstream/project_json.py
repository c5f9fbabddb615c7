"""Reads lengths, upload times and metadata digests of a whole project from an index's JSON API.

PyPI and compatible servers have ``<base>/pypi/<project>/json`` beside ``<base>/simple/``. Rule: the
API only completes what the simple page does not say, for files with the same name *and* sha256.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from packaging.utils import NormalizedName

from securepip.errors import FormatError, TransportError
from securepip.formats.digests import Sha256, parse_sha256
from securepip.signing.overlay.upstream.fetch import ONE_DOCUMENT, get_page
from securepip.signing.overlay.upstream.page import (
    UpstreamFile,
    parse_upload_time,
    plausible_size,
)
from securepip.transport import Transport

_SIMPLE = "/simple/"
_UNREADABLE = (ValueError, TypeError, KeyError, AttributeError, RecursionError)


@dataclass(frozen=True)
class Details:
    """What the API says of one file. A field is None if the API does not give it."""

    size: int | None
    upload_time: datetime | None
    has_metadata: bool | None
    core_metadata: Sha256 | None


class ProjectJson:
    """The JSON API beside one index.

    Args:
        index_url: The URL of the simple index with a slash at the end, perhaps with credentials.
        transport: Fetches the answers.
    """

    def __init__(self, index_url: str, transport: Transport) -> None:
        self._base = index_url.removesuffix(_SIMPLE) if index_url.endswith(_SIMPLE) else None
        self._transport = transport
        self._answered: bool | None = None

    def read(self, project: NormalizedName) -> Mapping[tuple[str, Sha256], Details]:
        """Details by file name and sha256; empty if the index has no such API."""
        # If the first request fails, the index has no such API, and is not asked again.
        if self._base is None or self._answered is False:
            return {}
        try:
            url = f"{self._base}/pypi/{project}/json"
            answer = get_page(self._transport, url)
            with ONE_DOCUMENT:
                details = _parse(json.loads(answer.body))
        except TransportError:
            if self._answered is None:
                self._answered = False
            return {}
        except _UNREADABLE:
            # The answer for this project is malformed. Those for other projects may be good.
            return {}
        self._answered = True
        return details


def fill(file: UpstreamFile, details: Mapping[tuple[str, Sha256], Details]) -> UpstreamFile:
    """``file`` completed with what ``details`` say of it."""
    known = details.get((file.filename, file.sha256))
    if known is None:
        return file
    return file._replace(
        size=file.size if file.size is not None else known.size,
        upload_time=file.upload_time or known.upload_time,
        has_metadata=known.has_metadata if file.has_metadata is None else file.has_metadata,
        core_metadata=(
            known.core_metadata
            if file.core_metadata is None
            and file.has_metadata is not False
            # Some servers give the digest of the distribution instead of that of its metadata.
            and known.core_metadata != file.sha256
            else file.core_metadata
        ),
    )


def _parse(document: Any) -> dict[tuple[str, Sha256], Details]:
    details: dict[tuple[str, Sha256], Details] = {}
    for release in document["releases"].values():
        for entry in release:
            try:
                key = str(entry["filename"]), parse_sha256(entry["digests"]["sha256"])
            except (KeyError, TypeError, FormatError):
                continue
            details[key] = _details(entry)
    return details


def _details(entry: dict[str, Any]) -> Details:
    size, moment, metadata = (
        entry.get(key) for key in ("size", "upload_time_iso_8601", "core-metadata")
    )
    try:
        core_metadata = parse_sha256(metadata["sha256"]) if isinstance(metadata, dict) else None
    except (KeyError, FormatError):
        core_metadata = None
    return Details(
        plausible_size(size),
        parse_upload_time(moment),
        None if metadata is None else bool(metadata),
        core_metadata,
    )
