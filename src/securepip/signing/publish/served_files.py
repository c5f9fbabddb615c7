"""Finds the file that a request path of a served repository names.

Rule: only plain files of ``metadata``, ``simple``, ``packages`` and ``status`` are served. That
excludes ``state``, hidden names, and (by ``Reader.open``) links that lead out of these folders.

Sources: PEP 503 (names, redirects) and 691 (content negotiation).
"""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import unquote

from securepip.errors import FormatError
from securepip.formats.layout import (
    METADATA_DIR,
    METADATA_SUFFIX,
    PACKAGES_DIR,
    PAGE_NAME,
    SIMPLE_DIR,
    STATUS_DIR,
    parse_project,
)
from securepip.formats.negotiation import PLAIN_HTML, negotiate
from securepip.formats.page import JSON_TYPE
from securepip.signing.repository.repository import HTML_NAME

_SERVED = (METADATA_DIR, SIMPLE_DIR, PACKAGES_DIR, STATUS_DIR)


class NotServedError(Exception):
    """The path names nothing that is served."""


@dataclass(frozen=True)
class Redirect:
    """The file has another path.

    Attributes:
        location: The absolute path on this server.
    """

    location: str


@dataclass(frozen=True)
class Found:
    """A file to be sent.

    Attributes:
        name: Its name in the storage. The file may not exist.
        content_type: Its media type.
        compressible: Whether it is text, which compression makes shorter.
        immutable: Whether its path names the same bytes for ever.
        negotiated: Whether another ``Accept`` header may find another file.
    """

    name: str
    content_type: str
    compressible: bool
    immutable: bool
    negotiated: bool = False


def find(address: str, accept: str) -> Found | Redirect:
    """The file that a request asks for.

    Args:
        address: The path and query of the request, as they were sent.
        accept: The request's ``Accept`` header.

    Raises:
        NotServedError: The path names no file that is served.
        ValueError: The path is not UTF-8.
    """
    parts = unquote(address.partition("?")[0], errors="strict").split("/")
    if parts[0] or len(parts) < 2 or parts[1] not in _SERVED:
        raise NotServedError
    kind, *rest = parts[1:]
    for part in rest[:-1] if rest and not rest[-1] else rest:
        # No "..", no hidden file, no path separator or device name of Windows.
        if not part or part.startswith(".") or any(char in part for char in "\\:\0"):
            raise NotServedError
    if kind == SIMPLE_DIR:
        return _find_simple(rest, accept)
    if kind == STATUS_DIR:
        return _find_status(rest)
    if not rest or not rest[-1]:
        raise NotServedError
    name = "/".join((kind, *rest))
    if kind == METADATA_DIR:
        return Found(name, "application/json", compressible=True, immutable=False)
    is_metadata = name.endswith(METADATA_SUFFIX)
    content_type = "text/plain; charset=utf-8" if is_metadata else "application/octet-stream"
    return Found(name, content_type, compressible=is_metadata, immutable=True)


def _find_status(rest: list[str]) -> Found | Redirect:
    if not rest:
        return Redirect(f"/{STATUS_DIR}/")
    if rest not in ([""], [HTML_NAME]):
        raise NotServedError
    name = f"{STATUS_DIR}/{HTML_NAME}"
    return Found(name, "text/html; charset=utf-8", compressible=True, immutable=False)


def _find_simple(rest: list[str], accept: str) -> Found | Redirect:
    if not rest:
        return Redirect(f"/{SIMPLE_DIR}/")
    *folders, name = rest
    if name == "" or (not folders and name not in (PAGE_NAME, HTML_NAME)):
        # A folder. Names are normalized by redirect, as PEP 503 asks.
        if rest == [""]:
            return _page([], accept)
        try:
            project = parse_project("/".join(part for part in rest if part))
        except FormatError:
            raise NotServedError from None
        if rest != [project, ""]:
            return Redirect(f"/{SIMPLE_DIR}/{project}/")
        return _page([project], accept)
    content_type = PLAIN_HTML if name == HTML_NAME else JSON_TYPE
    return Found("/".join((SIMPLE_DIR, *rest)), content_type, compressible=True, immutable=False)


def _page(folders: list[str], accept: str) -> Found:
    chosen = negotiate(accept)
    filename = PAGE_NAME if chosen == JSON_TYPE else HTML_NAME
    name = "/".join((SIMPLE_DIR, *folders, filename))
    return Found(name, chosen, compressible=True, immutable=False, negotiated=True)
