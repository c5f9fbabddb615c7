"""Parses pages of the simple API, in JSON (PEP 691) and in HTML (PEP 503).

Rule: a malformed entry is dropped, and the rest of the page is used. Anything that is no page of
either form is an error.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import parse_qs, urldefrag, urljoin

from packaging.utils import NormalizedName

from securepip.errors import FormatError
from securepip.formats.digests import other_hash_of
from securepip.formats.layout import parse_project
from securepip.formats.links import Attributes, Links, decode_page
from securepip.formats.page import JSON_TYPE
from securepip.signing.overlay.upstream.fetch import ONE_DOCUMENT
from securepip.signing.overlay.upstream.page import (
    Offer,
    UpstreamPage,
    clean,
    filename_of,
    judge,
    limited,
    parse_upload_time,
    plausible_size,
)
from securepip.transport import redact

ACCEPT = f"{JSON_TYPE}, application/vnd.pypi.simple.v1+html; q=0.2, text/html; q=0.1"
"""The ``Accept`` header of a request for a page: it prefers JSON to HTML."""

MAX_HTML_BYTES = 16 << 20
"""The longest HTML page. HTML takes ten times the time and memory of JSON with the same files."""

_MAX_BASE = 1 << 16
"""The longest URL to which the links of an HTML page are joined; each is as long then."""
_HTML_TYPES = ("application/vnd.pypi.simple.v1+html", "text/html")
_STATUSES = ("active", "archived", "deprecated", "quarantined")
_UNREADABLE = (ValueError, TypeError, KeyError, AttributeError, RecursionError)


def parse_simple_page(
    body: bytes, content_type: str, url: str, project: NormalizedName
) -> UpstreamPage:
    """Parse the page of a project.

    Args:
        body: The body of the answer.
        content_type: Its ``Content-Type`` header.
        url: Its URL after redirects: relative links start there.
        project: The project.

    Raises:
        FormatError: It is not a page of the simple API, version 1, or of another project.
    """
    kind, _, parameters = content_type.partition(";")
    kind = kind.strip().lower()
    if kind == JSON_TYPE:
        offers, status = _parse_json(body, url, project)
    elif kind in _HTML_TYPES:
        _, _, charset = parameters.partition("charset=")
        offers, status = parse_html(body, url, charset.partition(";")[0].strip(" \"'") or None)
    else:
        raise FormatError(f"{redact(url)} is not a project page but {kind!r:.80}")
    page = UpstreamPage.of(project, (judge(offer, url, project) for offer in offers))
    return replace(page, status=status.status, status_reason=status.reason)


@dataclass(frozen=True)
class Status:
    """A project's status marker (PEP 792)."""

    status: str = "active"
    reason: str | None = None


def parse_html(body: bytes, url: str, encoding: str | None = None) -> tuple[list[Offer], Status]:
    """Every link on an HTML page at ``url``, and the status that the page gives its project.

    Raises:
        FormatError: It is longer than ``MAX_HTML_BYTES``, or no page of the simple API.
    """
    try:
        return _read_html(body, url, encoding)
    except FormatError:
        raise
    except Exception as error:
        # The HTML parser may raise anything on hostile bytes.
        raise FormatError(f"{redact(url)} is not a readable page: {str(error)!r:.200}") from None


def _parse_json(body: bytes, url: str, project: NormalizedName) -> tuple[list[Offer], Status]:
    try:
        with ONE_DOCUMENT:
            return _read_json(json.loads(body), url, project)
    except _UNREADABLE as error:
        raise FormatError(f"{redact(url)} is not a readable page: {str(error)!r:.200}") from None


def _read_json(document: Any, url: str, project: NormalizedName) -> tuple[list[Offer], Status]:
    _check_version(document["meta"]["api-version"], url)
    if parse_project(document["name"]) != project:
        raise FormatError(f"{redact(url)} is not the page of {project}")
    status = document.get("project-status") or {}
    return (
        [offer for entry in document["files"] if (offer := _json_offer(entry))],
        _status(status.get("status"), status.get("reason"), url),
    )


def _json_offer(entry: Any) -> Offer | None:
    """A PEP 691 file entry; None if it names no file. A field of a wrong type counts as absent."""
    if not isinstance(entry, dict):
        return None
    filename, url, hashes = entry.get("filename"), entry.get("url"), entry.get("hashes")
    if not isinstance(filename, str) or not isinstance(url, str):
        return None
    size, yanked, moment = entry.get("size"), entry.get("yanked"), entry.get("upload-time")
    # PEP 714: the old name counts if the new one is missing.
    metadata = entry.get("core-metadata", entry.get("dist-info-metadata"))
    sha256 = _text(hashes.get("sha256")) if isinstance(hashes, dict) else None
    return Offer(
        filename,
        url,
        sha256,
        plausible_size(size),
        _text(entry.get("requires-python")),
        parse_upload_time(moment),
        (yanked if isinstance(yanked, str) else "") if yanked else None,
        None if metadata is None else bool(metadata),
        _text(metadata.get("sha256")) if isinstance(metadata, dict) else None,
        other_hash_of(hashes) if sha256 is None and isinstance(hashes, dict) else None,
    )


def _read_html(body: bytes, url: str, encoding: str | None) -> tuple[list[Offer], Status]:
    if len(body) > MAX_HTML_BYTES:
        raise FormatError(f"{redact(url)} is longer than {MAX_HTML_BYTES} bytes of HTML")
    page = Links(decode_page(body, encoding))
    _check_version(page.meta.get("repository-version", "1.0"), url)
    status = _status(page.meta.get("project-status"), page.meta.get("project-status-reason"), url)
    base = urljoin(url, page.base or "")
    if len(base) > _MAX_BASE:
        raise FormatError(f"{redact(url):.200} has a base of more than {_MAX_BASE} characters")
    offers = (_html_offer(base, attributes) for attributes in page.anchors)
    return list(limited(offer for offer in offers if offer is not None)), status


def _html_offer(base: str, attributes: Attributes) -> Offer | None:
    """The file that a link offers; None if its URL is not valid."""
    try:
        plain, fragment = urldefrag(urljoin(base, attributes["href"] or ""))
        filename = filename_of(plain)
    except ValueError:
        return None
    values = {name: value or "" for name, value in attributes.items()}
    hashes = {name: digests[0] for name, digests in parse_qs(fragment).items()}
    metadata = values.get("data-core-metadata", values.get("data-dist-info-metadata"))
    return Offer(
        # As in pip, the name comes from the URL: the text of a link may be abbreviated.
        filename=filename,
        url=plain,
        sha256=hashes.get("sha256"),
        requires_python=values.get("data-requires-python"),
        yanked=values.get("data-yanked"),
        has_metadata=None if metadata is None else metadata.lower() != "false",
        core_metadata=metadata.removeprefix("sha256=") if metadata else None,
        other_hash=other_hash_of(hashes),
    )


def _check_version(version: object, url: str) -> None:
    if not isinstance(version, str) or version.partition(".")[0] != "1":
        raise FormatError(f"{redact(url)} speaks version {version!r:.20} of the simple API, not 1")


def _status(status: object, reason: object, url: str) -> Status:
    if status is None:
        return Status()
    # An unknown status might mean that the project must not be installed (PEP 792).
    if status not in _STATUSES:
        raise FormatError(f"{redact(url)} gives the project an unknown status: {status!r:.40}")
    return Status(str(status), clean(_text(reason)))


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None
