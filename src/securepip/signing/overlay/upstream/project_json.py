"""Lengths, upload times and digests of ``.metadata`` for a whole project in one request.

PyPI, and servers made after it, offer ``<base>/pypi/<project>/json`` beside ``<base>/simple/``.
Rule: it only fills what the simple page leaves open, for a file whose name *and* sha256 it names.
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
    """What the API says of one file; None for what it does not."""

    size: int | None
    upload_time: datetime | None
    has_metadata: bool | None
    core_metadata: Sha256 | None


class ProjectJson:
    """The JSON API beside one index.

    Args:
        index_url: Of the simple index, with a slash at its end; may hold credentials.
        transport: Fetches it.
    """

    def __init__(self, index_url: str, transport: Transport) -> None:
        self._base = index_url.removesuffix(_SIMPLE) if index_url.endswith(_SIMPLE) else None
        self._transport = transport
        self._answered: bool | None = None

    def read(self, project: NormalizedName) -> Mapping[tuple[str, Sha256], Details]:
        """Details by file name and sha256; nothing where the index has no such API."""
        # An index that has not got it for one project has it for none.
        if self._base is None or self._answered is False:
            return {}
        try:
            url = f"{self._base}/pypi/{project}/json"
            answer = get_page(self._transport, url)
            with ONE_DOCUMENT:
                found = _parse(json.loads(answer.body))
        except TransportError:
            if self._answered is None:
                self._answered = False
            return {}
        except _UNREADABLE:
            # This project's answer is odd; that says nothing of the others.
            return {}
        self._answered = True
        return found


def fill(file: UpstreamFile, details: Mapping[tuple[str, Sha256], Details]) -> UpstreamFile:
    """``file`` with what its page left open."""
    found = details.get((file.filename, file.sha256))
    if found is None:
        return file
    return file._replace(
        size=file.size if file.size is not None else found.size,
        upload_time=file.upload_time or found.upload_time,
        has_metadata=found.has_metadata if file.has_metadata is None else file.has_metadata,
        core_metadata=(
            found.core_metadata
            if file.core_metadata is None
            and file.has_metadata is not False
            # Some servers give the digest of the file itself.
            and found.core_metadata != file.sha256
            else file.core_metadata
        ),
    )


def _parse(document: Any) -> dict[tuple[str, Sha256], Details]:
    found: dict[tuple[str, Sha256], Details] = {}
    for release in document["releases"].values():
        for entry in release:
            try:
                key = str(entry["filename"]), parse_sha256(entry["digests"]["sha256"])
            except (KeyError, TypeError, FormatError):
                continue
            found[key] = _details(entry)
    return found


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
