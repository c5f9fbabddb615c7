"""Makes the gateway's responses: verified answers, and refusals that say why.

The rules:

* Headers keep a browser from running scripts and from guessing media types.
* A refusal says why in its reason phrase, which tools based on requests print, and in its body as
  problem details (RFC 9457), which uv prints.
* A page that cannot be served must stop the tool. pip and pdm would ignore the error, find no
  version of the project, and take an older release of what depends on it: whoever breaks one page
  would decide which versions are installed. So these two get an error that they cannot decode.

Sources: PEP 503, 691; RFC 9110 (conditions, ranges), RFC 9457.
"""

from __future__ import annotations

import json
import logging
import traceback
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime, timezone
from html import escape
from http import HTTPStatus
from pathlib import Path
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import FileResponse, RedirectResponse, Response
from starlette.types import Message, Receive, Scope, Send

from securepip import last_run
from securepip.errors import (
    RepositoryUnavailableError,
    SecurepipError,
    UntrustedError,
    VerificationError,
)
from securepip.formats.digests import CHUNK, sha256_of
from securepip.formats.negotiation import PLAIN_HTML, negotiate
from securepip.formats.page import JSON_TYPE, ProjectPage
from securepip.gateway.answers import Answer, FileAnswer, MetadataAnswer, PageAnswer, UnknownError
from securepip.gateway.by_url import RefusedError
from securepip.redaction import harmless
from securepip.updater.mirrors import passed_over

REASON_HEADER = "x-reason"
"""Passes the reason phrase to the server, because ASGI has no field for it."""

NOTICES_HEADER = "x-securepip-notices"
"""Lines that the plugin shows to its user besides a good answer, URL-encoded."""

NOT_VERIFIED_FOR_PIP = 590
"""The status for pip instead of 502. pip would try again five times after 502, and then not print
the reason. A client treats an unknown 5xx status like 500 (RFC 9110)."""

# Caches have to revalidate each time: an answer from a tool's cache may have been revoked since.
COMMON_HEADERS = {
    "Cache-Control": "no-cache",
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'",
}

Endpoint = Callable[[Request], Awaitable[Response]]

_log = logging.getLogger(__name__)
_MAX_REASON = 300
_MAX_NOTICES = 5
_TITLES = {
    "verification": "not verified",
    "unknown": "not known",
    "refused": "refused",
    "unavailable": "not available",
}
_STATUS = (
    (UnknownError, HTTPStatus.NOT_FOUND),
    (RefusedError, HTTPStatus.FORBIDDEN),
    (UntrustedError, HTTPStatus.SERVICE_UNAVAILABLE),
    (RepositoryUnavailableError, HTTPStatus.SERVICE_UNAVAILABLE),
)


@dataclass
class Failure:
    """A refusal: what was refused, when it last was, and how often."""

    what: str
    last: datetime = field(default_factory=lambda: datetime.now(timezone.utc))
    times: int = 1

    def again(self) -> None:
        """Count it once more."""
        self.last = datetime.now(timezone.utc)
        self.times += 1


class Replies:
    """Makes responses from answers and errors, and counts them for the status page.

    Attributes:
        pages: How many pages were sent.
        files: How many files were sent.
        failures: The last refusals.
    """

    def __init__(self) -> None:
        self.pages = 0
        self.files = 0
        self.failures: deque[Failure] = deque(maxlen=20)

    def send(self, request: Request, answer: Answer) -> Response:
        """The response for an answer."""
        reply = self._reply(request, answer)
        if notices := passed_over():
            reply.headers[NOTICES_HEADER] = quote("\n".join(map(_reason, notices[:_MAX_NOTICES])))
        return reply

    def _reply(self, request: Request, answer: Answer) -> Response:
        if isinstance(answer, PageAnswer):
            self.pages += 1
            return _send_page(request, answer.page)
        if isinstance(answer, MetadataAnswer):
            return _send_bytes(request, answer.data, "text/plain; charset=utf-8", answer.sha256)
        self.files += 1
        return _send_file(request, answer)

    def explained(self, endpoint: Endpoint) -> Endpoint:
        """Wrap an endpoint, so that its errors are sent to the tool and logged."""

        async def explained(request: Request) -> Response:
            try:
                return await endpoint(request)
            except SecurepipError as error:
                return self._explain(request, error)
            except Exception as error:
                _log.debug("%s", "".join(traceback.format_exception(error)))
                return self._explain(
                    request,
                    SecurepipError(
                        f"securepip itself failed: {type(error).__name__}: {error}",
                        meaning="This is a defect of securepip; nothing unverified was sent.",
                        remedy="Report it, with what the gateway prints with --verbose.",
                    ),
                )

        return explained

    def _explain(self, request: Request, error: SecurepipError) -> Response:
        known = (int(code) for kind, code in _STATUS if isinstance(error, kind))
        status = next(known, int(HTTPStatus.BAD_GATEWAY))
        if status == HTTPStatus.NOT_FOUND:
            _log.info("404: %s", error.what)
        elif self.failures and self.failures[-1].what == error.what:
            # Tools often repeat a request.
            self.failures[-1].again()
            _log.debug("%d again: %s", status, error.what)
        else:
            self.failures.append(Failure(error.what))
            _log.warning("%s", error)
            if isinstance(error, VerificationError):
                last_run.record(["gateway"], error.exit_code, error)
        reply = problem(status, error.what, error.meaning, error.remedy, kind=_kind(error))
        if status != HTTPStatus.NOT_FOUND:
            _end(request, reply, error.what)
        return reply


def problem(
    status: int, what: str, meaning: str = "", remedy: str = "", *, kind: str = "refused"
) -> Response:
    """Make a refusal for programs and for people. Many tools print it as it is.

    Args:
        status: The HTTP status.
        what: What happened.
        meaning: What that may mean, or "".
        remedy: What to do next, or "".
        kind: ``verification``, ``unknown``, ``refused`` or ``unavailable``.
    """
    what, meaning, remedy = map(harmless, (what, meaning, remedy))
    detail = "\n".join(part for part in (what, meaning, remedy) if part)
    document = {
        "title": _TITLES[kind],
        "status": status,
        "detail": detail,
        "kind": kind,
        "what": what,
        "meaning": meaning,
        "remedy": remedy,
    }
    return Response(
        json.dumps(document, indent=1).encode(),
        status_code=status,
        headers={**COMMON_HEADERS, REASON_HEADER: _reason(what)},
        media_type="application/problem+json",
    )


def html_page(title: str, body: str) -> Response:
    """A page for people; ``body`` is HTML."""
    text = (
        f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f"<title>{escape(title)}</title>\n<style>body {{ font-family: sans-serif; margin: 2em }}"
        f"</style>\n</head>\n<body>\n<h1>{escape(title)}</h1>\n{body}\n</body>\n</html>\n"
    )
    return Response(text, headers=COMMON_HEADERS, media_type=PLAIN_HTML)


def redirect_to_page(request: Request, project: str) -> Response:
    """Redirect to the path of a project's page, which ends with a slash (PEP 503)."""
    location = f"{request.scope['root_path']}/simple/{quote(project, safe='')}/"
    return RedirectResponse(location, HTTPStatus.MOVED_PERMANENTLY, headers=COMMON_HEADERS)


class _File(FileResponse):
    """A file response with larger chunks than the default; each costs a switch of threads."""

    chunk_size = CHUNK

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the file; or a refusal, if the cache was emptied a moment ago."""
        head: Message | None = None

        async def with_body(message: Message) -> None:
            """Hold the head back until the file is open, so that a refusal can still be sent."""
            nonlocal head
            if message["type"] == "http.response.start":
                head = message
                return
            if head is not None:
                first, head = head, None
                await send(first)
            await send(message)

        try:
            await super().__call__(scope, receive, with_body)
        except OSError as error:
            if head is None:
                raise  # too late for a refusal: the connection ends before the file does
            failure = _not_read(Path(self.path), error)
            _log.warning("%s", failure)
            status = HTTPStatus.SERVICE_UNAVAILABLE
            reply = problem(
                status, failure.what, failure.meaning, failure.remedy, kind="unavailable"
            )
            await reply(scope, receive, send)


def _send_page(request: Request, page: ProjectPage) -> Response:
    form = negotiate(", ".join(request.headers.getlist("accept")))
    body = page.to_json() if form == JSON_TYPE else page.to_html()
    response = _send_bytes(request, body, form, sha256_of(body))
    response.headers["Vary"] = "Accept"
    return response


def _send_bytes(request: Request, body: bytes, content_type: str, tag: str) -> Response:
    headers = {**COMMON_HEADERS, "ETag": f'"{tag}"'}
    if _client_has(request, tag):
        return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
    return Response(body, headers=headers, media_type=content_type)


def _send_file(request: Request, file: FileAnswer) -> Response:
    headers = {**COMMON_HEADERS, "ETag": f'"{file.sha256}"'}
    if _client_has(request, file.sha256):
        return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
    try:
        stat_result = file.path.stat()
    except OSError as error:
        raise _not_read(file.path, error) from None
    return _File(
        file.path,
        headers=headers,
        media_type="application/octet-stream",
        stat_result=stat_result,
    )


def _not_read(path: Path, error: OSError) -> SecurepipError:
    return RepositoryUnavailableError(
        f"{path} cannot be read any more: {error.strerror}",
        meaning="It was verified a moment ago; somebody, or another program, empties the cache.",
        remedy="Ask again: it is fetched anew.",
    )


def _client_has(request: Request, tag: str) -> bool:
    """Whether the client says that it has the file with this tag."""
    asked = ",".join(request.headers.getlist("if-none-match"))
    return any(one.strip().removeprefix("W/") in (f'"{tag}"', "*") for one in asked.split(","))


def _end(request: Request, reply: Response, what: str) -> None:
    """Change a refusal so that pip and pdm stop too.

    This includes the refused page (403) of an index other than the gateway: a tool that ignores the
    refusal would install another project under the name that the user meant.
    """
    tool = request.headers.get("user-agent", "").partition("/")[0]
    # securepip's own plugin understands the plain error.
    if tool not in ("pip", "pdm") or request.url.path.endswith("/by-url"):
        return
    of_page = "project" in request.path_params and "filename" not in request.path_params
    is_page = of_page or "vnd.pypi.simple" in request.headers.get("accept", "")
    if tool == "pip" and (is_page or reply.status_code >= HTTPStatus.INTERNAL_SERVER_ERROR):
        reply.status_code = NOT_VERIFIED_FOR_PIP
    if is_page:
        # The body is not encoded in this way, so the tool fails. pip prints the whole header.
        reply.headers["Content-Encoding"] = f"{_reason(what).replace(',', ';')}, gzip"


def _reason(what: str) -> str:
    """``what`` as one line for a header. It may hold names from the network."""
    line = " ".join(what.split())[:_MAX_REASON]
    return "".join(one if one.isascii() and one.isprintable() else "?" for one in line)


def _kind(error: SecurepipError) -> str:
    """One word for programs."""
    if isinstance(error, VerificationError):
        return "verification"
    if isinstance(error, UnknownError):
        return "unknown"
    return "refused" if isinstance(error, RefusedError) else "unavailable"
