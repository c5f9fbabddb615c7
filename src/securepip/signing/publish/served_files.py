"""Which file an address of a served repository stands for.

Rule: what is served are plain files of ``metadata``, ``simple`` and ``packages``, and nothing
else: no ``state``, no hidden name, nothing that a link outside of these three leads to.

Sources: PEP 503 (names, redirects) and 691 (content negotiation).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
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
    """The address names nothing that is served."""


@dataclass(frozen=True)
class Redirect:
    """The file has another address.

    Attributes:
        location: Its path, from the root of the server.
    """

    location: str


@dataclass(frozen=True)
class Found:
    """A file to be sent.

    Attributes:
        path: Where it is. Perhaps not a regular file.
        content_type: What it is.
        compressible: Whether it is text, which gets shorter.
        immutable: Whether its address stands for these bytes for ever.
        negotiated: Whether another ``Accept`` would have found another file.
    """

    path: Path
    content_type: str
    compressible: bool
    immutable: bool
    negotiated: bool = False


class ServedFiles:
    """The files of the repository in ``folder``, by their addresses."""

    def __init__(self, folder: Path) -> None:
        # Resolved once: each of the three may itself be a link to another disk.
        self._roots = {name: (folder / name).resolve() for name in _SERVED}

    def find(self, address: str, accept: str) -> Found | Redirect:
        """The file at ``address``.

        Args:
            address: The path and query of a request, as it was sent.
            accept: The request's ``Accept`` header.

        Raises:
            NotServedError: It can be no file that is served.
            FileNotFoundError: There is none.
            ValueError: It is no text, or no path on this system.
        """
        parts = unquote(address.partition("?")[0], errors="strict").split("/")
        if parts[0] or len(parts) < 2 or parts[1] not in _SERVED:
            raise NotServedError
        kind, *rest = parts[1:]
        for part in rest[:-1] if rest and not rest[-1] else rest:
            # No way up, no hidden file, no other system's separator or device.
            if not part or part.startswith(".") or any(char in part for char in "\\:\0"):
                raise NotServedError
        if kind == SIMPLE_DIR:
            return self._find_simple(rest, accept)
        if kind == STATUS_DIR:
            return self._find_status(rest)
        if not rest or not rest[-1]:
            raise NotServedError
        path = self._inside(kind, rest)
        if kind == METADATA_DIR:
            return Found(path, "application/json", compressible=True, immutable=False)
        is_metadata = path.name.endswith(METADATA_SUFFIX)
        content_type = "text/plain; charset=utf-8" if is_metadata else "application/octet-stream"
        return Found(path, content_type, compressible=is_metadata, immutable=True)

    def _find_status(self, rest: list[str]) -> Found | Redirect:
        if not rest:
            return Redirect(f"/{STATUS_DIR}/")
        if rest not in ([""], [HTML_NAME]):
            raise NotServedError
        path = self._inside(STATUS_DIR, [HTML_NAME])
        return Found(path, "text/html; charset=utf-8", compressible=True, immutable=False)

    def _find_simple(self, rest: list[str], accept: str) -> Found | Redirect:
        if not rest:
            return Redirect(f"/{SIMPLE_DIR}/")
        *folders, name = rest
        if name == "" or (not folders and name not in (PAGE_NAME, HTML_NAME)):
            # A folder. Names are normalized by redirect, as PEP 503 asks.
            if rest == [""]:
                return self._page([], accept)
            try:
                project = parse_project("/".join(part for part in rest if part))
            except FormatError:
                raise NotServedError from None
            if rest != [project, ""]:
                return Redirect(f"/{SIMPLE_DIR}/{project}/")
            return self._page([project], accept)
        content_type = PLAIN_HTML if name == HTML_NAME else JSON_TYPE
        return Found(
            self._inside(SIMPLE_DIR, rest), content_type, compressible=True, immutable=False
        )

    def _page(self, folders: list[str], accept: str) -> Found:
        chosen = negotiate(accept)
        name = PAGE_NAME if chosen == JSON_TYPE else HTML_NAME
        path = self._inside(SIMPLE_DIR, [*folders, name])
        return Found(path, chosen, compressible=True, immutable=False, negotiated=True)

    def _inside(self, kind: str, parts: list[str]) -> Path:
        root = self._roots[kind]
        path = root.joinpath(*parts).resolve(strict=True)
        if not path.is_relative_to(root):
            raise NotServedError
        return path
