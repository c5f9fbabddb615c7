"""Plans the answer to a request for a file: whole, compressed, in part, or "not modified".

Source: RFC 9110 (conditions, ranges, encodings).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from email.message import Message
from http import HTTPStatus

from securepip.formats.negotiation import weight
from securepip.signing.publish.served_files import Found

_MIN_COMPRESSED, _MAX_COMPRESSED = 500, 16 << 20
_RANGE = re.compile(r"bytes=(\d*)-(\d*)")

Header = tuple[str, str]


@dataclass(frozen=True)
class Reply:
    """An answer without its body.

    Attributes:
        status: The HTTP status.
        headers: All headers but those of the connection and, if compressed, the length.
        compressed: Whether the body is the whole file, compressed.
        start: The position in the file at which the body begins.
        length: The bytes of the body; 0 if there is none.
    """

    status: HTTPStatus
    headers: tuple[Header, ...] = ()
    compressed: bool = False
    start: int = 0
    length: int = 0


def plan_reply(found: Found, size: int, mark: str, asked: Message) -> Reply:
    """Plan the answer to a request for a file.

    Args:
        found: The file.
        size: Its length in bytes.
        mark: A mark that changes whenever its bytes do.
        asked: The headers of the request.
    """
    compressed = (
        found.compressible
        and _MIN_COMPRESSED <= size <= _MAX_COMPRESSED
        and weight(asked.get("Accept-Encoding", ""), "gzip") > 0
    )
    etag = f'"{mark}{"-gz" if compressed else ""}"'
    headers = [
        ("ETag", etag),
        ("Cache-Control", "max-age=31536000, immutable" if found.immutable else "no-cache"),
    ]
    vary = ["Accept"] * found.negotiated + ["Accept-Encoding"] * found.compressible
    if vary:
        headers.append(("Vary", ", ".join(vary)))
    if etag in asked.get("If-None-Match", ""):
        return Reply(HTTPStatus.NOT_MODIFIED, tuple(headers))
    headers.append(("Content-Type", found.content_type))
    if compressed:
        headers.append(("Content-Encoding", "gzip"))
        return Reply(HTTPStatus.OK, tuple(headers), compressed=True)
    headers.append(("Accept-Ranges", "bytes"))
    part = _asked_range(size, etag, asked)
    if part is None:
        headers.append(("Content-Length", str(size)))
        return Reply(HTTPStatus.OK, tuple(headers), length=size)
    start, length = part
    if not length:
        headers += [("Content-Range", f"bytes */{size}"), ("Content-Length", "0")]
        return Reply(HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, tuple(headers))
    headers.append(("Content-Range", f"bytes {start}-{start + length - 1}/{size}"))
    headers.append(("Content-Length", str(length)))
    return Reply(HTTPStatus.PARTIAL_CONTENT, tuple(headers), start=start, length=length)


def _asked_range(size: int, etag: str, asked: Message) -> tuple[int, int] | None:
    """Start and length of the requested range; None for the whole file, length 0 if beyond it."""
    match = _RANGE.fullmatch(asked.get("Range", ""))
    if not match or match[0] == "bytes=-" or asked.get("If-Range", etag) != etag:
        return None
    first, last = match[1], match[2]
    if not first:
        length = min(int(last), size)
        return size - length, length
    start = int(first)
    end = min(int(last), size - 1) if last else size - 1
    if last and int(last) < start:
        return None
    return start, max(end - start + 1, 0)
