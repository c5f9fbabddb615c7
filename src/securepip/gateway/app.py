"""The gateway over HTTP: who may ask, for what, and how answers and refusals are said.

The rules:

* Only this machine, and of its users only who knows the token: it is the first part of every path.
  The Host header must be ours: a web page elsewhere whose name is made to lead here ("DNS
  rebinding") sends its own.
* Only GET and HEAD; a browser is told to run nothing and to guess nothing.
* A refusal says why in its reason phrase, which tools over requests print, and in its body as
  problem details (RFC 9457), which uv prints.
* A page that cannot be had ends a tool. pip and pdm would pass over the error, find no version of
  the project, and take an older one of what depends on it: whoever breaks one page would decide
  which versions are installed. So these two get an error that they cannot decode, and stop.

Sources: PEP 503, 658, 691, 700, 714; RFC 9110 (conditions, ranges), RFC 9457.
"""

from __future__ import annotations

import hmac
import json
import logging
import traceback
from collections import deque
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from html import escape
from http import HTTPStatus
from urllib.parse import quote

from packaging.utils import NormalizedName
from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import FileResponse, RedirectResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from securepip import __version__
from securepip.errors import (
    FormatError,
    RepositoryUnavailableError,
    SecurepipError,
    UntrustedError,
    VerificationError,
)
from securepip.formats.digests import CHUNK, sha256_of
from securepip.formats.layout import METADATA_SUFFIX, parse_project
from securepip.formats.negotiation import PLAIN_HTML, negotiate
from securepip.formats.page import JSON_TYPE, ProjectPage
from securepip.gateway.answers import (
    Answer,
    Answers,
    FileAnswer,
    MetadataAnswer,
    PageAnswer,
    UnknownError,
)
from securepip.gateway.by_url import RefusedError

REASON_HEADER = "x-reason"
"""Carries the reason phrase to the server: ASGI has no place for it."""

KEPT_HEADER = "X-Securepip-Kept"
"""Tells the plugin that nothing had to be fetched."""

NOT_VERIFIED_FOR_PIP = 590
"""What pip gets instead of 502, which it tries again five times and then reports without the
reason. Any 5xx that a client does not know is a 500 to it (RFC 9110)."""

_Endpoint = Callable[[Request], Awaitable[Response]]

_log = logging.getLogger(__name__)
_MAX_REASON = 300
# Revalidated each time: an answer that is not good any more must not come out of a tool's cache.
_COMMON = {
    "Cache-Control": "no-cache",
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'",
}
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
class _Failure:
    """What was not served, when last, and how often."""

    what: str
    last: datetime = field(default_factory=lambda: datetime.now(timezone.utc))
    times: int = 1

    def again(self) -> None:
        self.last = datetime.now(timezone.utc)
        self.times += 1


@dataclass
class _Seen:
    """What the status page tells."""

    pages: int = 0
    files: int = 0
    failures: deque[_Failure] = field(default_factory=lambda: deque(maxlen=20))


def create_app(
    answers: Answers, *, token: str | None, hosts: Collection[str], by_url: bool = False
) -> ASGIApp:
    """The application.

    Args:
        answers: What is answered.
        token: The first part of every path; None for none.
        hosts: The Host headers that are ours, ``127.0.0.1:PORT``.
        by_url: Whether to answer ``/by-url?url=…`` too, for securepip's own plugin: ``hash=`` and
            ``index=`` may be repeated, as ``Answers.resolve_url`` takes them. With ``text=1`` a
            requirements file is asked for.
    """
    gateway = _Gateway(answers)
    routes = {
        "/": gateway.status,
        "/simple/": gateway.all_projects,
        "/simple/{project}": gateway.to_page,
        "/simple/{project}/": gateway.page,
        "/files/{project}/{filename}": gateway.file,
    }
    if by_url:
        routes["/by-url"] = gateway.by_url
    app = Starlette(routes=[Route(path, gateway.explained(run)) for path, run in routes.items()])
    app.router.redirect_slashes = False
    return _Guard(app, token, frozenset(hosts))


class _Guard:
    """Lets only those in who may ask."""

    def __init__(self, app: ASGIApp, token: str | None, hosts: frozenset[str]) -> None:
        self._app = app
        self._token = token
        self._hosts = hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or refuse it."""
        if scope["type"] != "http":
            raise RuntimeError(f"only HTTP is spoken here, not {scope['type']}")
        refusal = self._refusal(scope)
        if refusal is not None:
            await refusal(scope, receive, send)
            return
        if self._token is not None:
            scope = {**scope, "root_path": f"/{self._token}"}
        await self._app(scope, receive, send)

    def _refusal(self, scope: Scope) -> Response | None:
        if Headers(scope=scope).getlist("host") not in [[host] for host in self._hosts]:
            return _problem(HTTPStatus.MISDIRECTED_REQUEST, "this is not the host that you asked")
        # A page elsewhere cannot read an answer, but where no token is needed it could ask: to have
        # files fetched and kept, or to learn from the time it takes what is known here.
        if Headers(scope=scope).get("sec-fetch-site", "none") not in ("none", "same-origin"):
            return _problem(HTTPStatus.FORBIDDEN, "a web page elsewhere may not ask")
        if scope["method"] not in ("GET", "HEAD"):
            response = _problem(HTTPStatus.METHOD_NOT_ALLOWED, "only GET and HEAD")
            response.headers["Allow"] = "GET, HEAD"
            return response
        if self._token is None:
            return None
        given, slash, _ = scope["path"].removeprefix("/").partition("/")
        # In constant time: how long it takes must not tell how much of a guess was right.
        if slash and hmac.compare_digest(given.encode(), self._token.encode()):
            return None
        if scope["path"] == "/":
            return _html(
                "securepip gateway",
                "<p>Verified packages for the user who started it, whose address for it is longer "
                "than this one.</p>",
            )
        return _problem(HTTPStatus.NOT_FOUND, "nothing here: the address begins with a token")


class _File(FileResponse):
    """A file, read in pieces that are worth a switch of threads; one is in memory per client."""

    chunk_size = CHUNK


class _Gateway:
    """The routes."""

    def __init__(self, answers: Answers) -> None:
        self._answers = answers
        self._seen = _Seen()
        self._began = datetime.now(timezone.utc)

    async def status(self, request: Request) -> Response:
        """A page for people."""
        seen = self._seen
        failures = "".join(
            f"<li>{one.last:%Y-%m-%d %H:%M:%S} UTC, {one.times} times: {escape(one.what)}</li>"
            for one in reversed(seen.failures)
        )
        repositories = "".join(f"<li>{escape(one)}</li>" for one in self._answers.repositories())
        return _html(
            "securepip gateway",
            f"<p>Version {__version__}, running since {self._began:%Y-%m-%d %H:%M} UTC. Every page "
            f"and file that it serves was checked against what was signed.</p>"
            f'<p>The index for your tools is <a href="simple/">simple/</a>. Sent so far: '
            f"{seen.pages} pages, {seen.files} files.</p>"
            f"<h2>Trusted repositories</h2><ul>{repositories}</ul>"
            f"<h2>Refused</h2><ul>{failures or '<li>nothing</li>'}</ul>",
        )

    async def all_projects(self, request: Request) -> Response:
        """The list of all projects, which nobody signs.

        Raises:
            UnknownError: Always.
        """
        raise UnknownError(
            "there is no signed list of all projects",
            remedy="Ask for a project by its name: simple/NAME/.",
        )

    async def to_page(self, request: Request) -> Response:
        """To the page's own address, with a slash (PEP 503)."""
        return _redirect(request, request.path_params["project"])

    async def page(self, request: Request) -> Response:
        """A project's page; its files are here."""
        name = request.path_params["project"]
        project = _project(name)
        if project != name:
            return _redirect(request, project)
        answer = await self._answers.page(project)
        files = tuple(
            replace(file, url=f"../../files/{project}/{quote(file.filename)}")
            for file in answer.page.files
        )
        return self._send(request, PageAnswer(replace(answer.page, files=files)))

    async def file(self, request: Request) -> Response:
        """A distribution, or its metadata."""
        project = _project(request.path_params["project"])
        filename = request.path_params["filename"]
        if filename.endswith(METADATA_SUFFIX):
            name = filename.removesuffix(METADATA_SUFFIX)
            return self._send(request, await self._answers.metadata(project, name))
        return self._send(request, await self._answers.file(project, filename))

    async def by_url(self, request: Request) -> Response:
        """What pip would have fetched from an address."""
        query = request.query_params
        if query.get("text"):
            data = await self._answers.requirements_file(query.get("url", ""))
            return Response(data, headers=_COMMON, media_type="text/plain; charset=utf-8")
        answer = await self._answers.resolve_url(
            query.get("url", ""),
            hashes=frozenset(query.getlist("hash")),
            indexes=query.getlist("index"),
        )
        response = self._send(request, answer)
        if not isinstance(answer, PageAnswer) and answer.kept:
            # pip says so of what it finds in its own cache.
            response.headers[KEPT_HEADER] = "1"
        return response

    def explained(self, endpoint: _Endpoint) -> _Endpoint:
        """The endpoint, its errors told to the tool and to the log."""

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
        elif self._seen.failures and self._seen.failures[-1].what == error.what:
            # Tools ask several times.
            self._seen.failures[-1].again()
            _log.debug("%d again: %s", status, error.what)
        else:
            self._seen.failures.append(_Failure(error.what))
            _log.warning("%s", error)
        problem = _problem(status, error.what, error.meaning, error.remedy, kind=_kind(error))
        if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            _end(request, problem, error.what)
        return problem

    def _send(self, request: Request, answer: Answer) -> Response:
        if isinstance(answer, PageAnswer):
            self._seen.pages += 1
            return _send_page(request, answer.page)
        if isinstance(answer, MetadataAnswer):
            return _send_bytes(request, answer.data, "text/plain; charset=utf-8", answer.sha256)
        self._seen.files += 1
        return _send_file(request, answer)


def _end(request: Request, problem: Response, what: str) -> None:
    """Change an error so that also pip and pdm stop at it."""
    tool = request.headers.get("user-agent", "").partition("/")[0]
    if "project" not in request.path_params or tool not in ("pip", "pdm"):
        return
    if tool == "pip":
        problem.status_code = NOT_VERIFIED_FOR_PIP
    if "filename" not in request.path_params:
        # It is not; that is the point. pip prints the whole header.
        problem.headers["Content-Encoding"] = f"{_reason(what).replace(',', ';')}, gzip"


def _project(name: str) -> NormalizedName:
    try:
        return parse_project(name)
    except FormatError as error:
        raise UnknownError(error.what) from None


def _send_page(request: Request, page: ProjectPage) -> Response:
    form = negotiate(", ".join(request.headers.getlist("accept")))
    body = page.to_json() if form == JSON_TYPE else page.to_html()
    response = _send_bytes(request, body, form, sha256_of(body))
    response.headers["Vary"] = "Accept"
    return response


def _send_bytes(request: Request, body: bytes, content_type: str, tag: str) -> Response:
    headers = {**_COMMON, "ETag": f'"{tag}"'}
    if _has(request, tag):
        return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
    return Response(body, headers=headers, media_type=content_type)


def _send_file(request: Request, file: FileAnswer) -> Response:
    headers = {**_COMMON, "ETag": f'"{file.sha256}"'}
    if _has(request, file.sha256):
        return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
    return _File(
        file.path,
        headers=headers,
        media_type="application/octet-stream",
        stat_result=file.path.stat(),
    )


def _has(request: Request, tag: str) -> bool:
    """Whether the client says that it has what has this tag."""
    asked = ",".join(request.headers.getlist("if-none-match"))
    return any(one.strip().removeprefix("W/") in (f'"{tag}"', "*") for one in asked.split(","))


def _redirect(request: Request, project: str) -> Response:
    location = f"{request.scope['root_path']}/simple/{quote(project, safe='')}/"
    return RedirectResponse(location, HTTPStatus.MOVED_PERMANENTLY, headers=_COMMON)


def _problem(
    status: int, what: str, meaning: str = "", remedy: str = "", *, kind: str = "refused"
) -> Response:
    detail = "\n".join(part for part in (what, meaning, remedy) if part)
    problem = {
        "title": _TITLES[kind],
        "status": status,
        "detail": detail,
        "kind": kind,
        "what": what,
        "meaning": meaning,
        "remedy": remedy,
    }
    return Response(
        json.dumps(problem, indent=1).encode(),
        status_code=status,
        headers={**_COMMON, REASON_HEADER: _reason(what)},
        media_type="application/problem+json",
    )


def _reason(what: str) -> str:
    """One line that a header may hold: names from the network are part of it."""
    line = " ".join(what.split())[:_MAX_REASON]
    return "".join(one if one.isascii() and one.isprintable() else "?" for one in line)


def _kind(error: SecurepipError) -> str:
    """One word for programs."""
    if isinstance(error, VerificationError):
        return "verification"
    if isinstance(error, UnknownError):
        return "unknown"
    return "refused" if isinstance(error, RefusedError) else "unavailable"


def _html(title: str, body: str) -> Response:
    text = (
        f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f"<title>{escape(title)}</title>\n<style>body {{ font-family: sans-serif; margin: 2em }}"
        f"</style>\n</head>\n<body>\n<h1>{escape(title)}</h1>\n{body}\n</body>\n</html>\n"
    )
    return Response(text, headers=_COMMON, media_type=PLAIN_HTML)
