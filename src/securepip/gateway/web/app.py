"""The gateway's HTTP application: checks every request, and routes it.

The rules:

* Only this machine can connect, and only users who know the token, which is the first part of every
  path. The Host header must name the gateway: a hostile web page whose host name resolves to this
  machine ("DNS rebinding") sends its own name.
* Only GET and HEAD are allowed.
* If the gateway is a proxy too, ``proxy`` answers requests for other hosts.

Sources: PEP 503, 658, 691, 700, 714; RFC 9112 (forms of a request's target).
"""

from __future__ import annotations

import hmac
from collections.abc import Collection
from datetime import datetime, timezone
from html import escape
from http import HTTPStatus
from urllib.parse import unquote, urlsplit

from packaging.utils import NormalizedName
from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from securepip import __version__
from securepip.errors import FormatError
from securepip.formats.layout import METADATA_SUFFIX, parse_project
from securepip.formats.words import counted
from securepip.gateway.answers import Answers, PageAnswer, UnknownError
from securepip.gateway.web.passing import Passing
from securepip.gateway.web.proxy import Proxy
from securepip.gateway.web.replies import (
    COMMON_HEADERS,
    Replies,
    html_page,
    problem,
    redirect_to_page,
)

KEPT_HEADER = "X-Securepip-Kept"
"""The header that tells the plugin that nothing had to be fetched."""


def create_app(
    answers: Answers,
    *,
    token: str | None,
    hosts: Collection[str],
    by_url: bool = False,
    passing: Passing | None = None,
) -> ASGIApp:
    """Make the ASGI application.

    Args:
        answers: Answers the requests.
        token: The first part of every path; None if no token is needed.
        hosts: The Host headers that name the gateway, such as ``127.0.0.1:PORT``.
        by_url: Whether to answer ``/by-url?url=…`` too, for securepip's own plugin. ``hash=`` and
            ``index=`` may be repeated, and go to ``Answers.resolve_url``. ``text=1`` asks for a
            requirements file.
        passing: What may pass the gateway unverified, if it is a proxy too; None if it is not.
    """
    replies = Replies()
    gateway = _Gateway(answers, replies)
    routes = {
        "/": gateway.status,
        "/simple/": gateway.all_projects,
        "/simple/{project}": gateway.to_page,
        "/simple/{project}/": gateway.page,
        "/files/{project}/{filename}": gateway.file,
    }
    if by_url:
        routes["/by-url"] = gateway.by_url
    app = Starlette(routes=[Route(path, replies.explained(run)) for path, run in routes.items()])
    app.router.redirect_slashes = False
    proxy = None
    if passing is not None:
        host = next(iter(hosts))
        base = f"http://{host}/{f'{token}/' if token else ''}"
        proxy = Proxy(answers, replies, passing, token, base)
    return _Guard(app, token, frozenset(hosts), proxy)


class _Guard:
    """Refuses requests that break the rules above."""

    def __init__(
        self, app: ASGIApp, token: str | None, hosts: frozenset[str], proxy: ASGIApp | None
    ) -> None:
        self._app = app
        self._token = token
        self._hosts = hosts
        self._proxy = proxy

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or refuse it."""
        if scope["type"] != "http":
            raise RuntimeError(f"only HTTP is spoken here, not {scope['type']}")
        target = _absolute_target(scope)
        if target is not None and self._proxy is not None:
            if scope["method"] == "CONNECT" or not self._is_ours(target):
                await self._proxy(scope, receive, send)
                return
            # A tool that sends everything to its proxy also sends requests for the gateway itself.
            path = urlsplit(target).path or "/"
            scope = {**scope, "raw_path": path.encode(), "path": unquote(path)}
        refusal = self._refusal(scope)
        if refusal is not None:
            await refusal(scope, receive, send)
            return
        if self._token is not None:
            scope = {**scope, "root_path": f"/{self._token}"}
        await self._app(scope, receive, send)

    def _is_ours(self, target: str) -> bool:
        try:
            parts = urlsplit(target)
        except ValueError:
            return False
        return parts.scheme.lower() == "http" and parts.netloc.lower() in self._hosts

    def _refusal(self, scope: Scope) -> Response | None:
        if Headers(scope=scope).getlist("host") not in [[host] for host in self._hosts]:
            return problem(HTTPStatus.MISDIRECTED_REQUEST, "this is not the host that you asked")
        # A foreign web page cannot read an answer. But without a token it could send requests, to
        # have files fetched, or to learn from the time they take which files are known here.
        if Headers(scope=scope).get("sec-fetch-site", "none") not in ("none", "same-origin"):
            return problem(HTTPStatus.FORBIDDEN, "a web page elsewhere may not ask")
        if scope["method"] not in ("GET", "HEAD"):
            response = problem(HTTPStatus.METHOD_NOT_ALLOWED, "only GET and HEAD")
            response.headers["Allow"] = "GET, HEAD"
            return response
        if self._token is None:
            return None
        given, slash, _ = scope["path"].removeprefix("/").partition("/")
        # Compared in constant time: the time must not tell how much of a guess was right.
        if slash and hmac.compare_digest(given.encode(), self._token.encode()):
            return None
        if scope["path"] == "/":
            return html_page(
                "securepip gateway",
                "<p>Verified packages for the user who started it, whose address for it is longer "
                "than this one.</p>",
            )
        return problem(HTTPStatus.NOT_FOUND, "nothing here: the address begins with a token")


def _absolute_target(scope: Scope) -> str | None:
    """The target of a request for a proxy, a URL or CONNECT's ``host:port``; else None."""
    raw: bytes = scope["raw_path"]
    # The target of any other request begins with a slash, or is the "*" of OPTIONS.
    is_for_proxy = scope["method"] == "CONNECT" or b"://" in raw[:16]
    return raw.decode("ascii") if is_for_proxy and not raw.startswith(b"/") else None


class _Gateway:
    """The routes."""

    def __init__(self, answers: Answers, replies: Replies) -> None:
        self._answers = answers
        self._replies = replies
        self._began = datetime.now(timezone.utc)

    async def status(self, request: Request) -> Response:
        """The status page, for people."""
        replies = self._replies
        failures = "".join(
            f"<li>{one.last:%Y-%m-%d %H:%M:%S} UTC, {counted(one.times, 'time')}: "
            f"{escape(one.what)}</li>"
            for one in reversed(replies.failures)
        )
        repositories = "".join(f"<li>{escape(one)}</li>" for one in self._answers.repositories())
        return html_page(
            "securepip gateway",
            f"<p>Version {__version__}, running since {self._began:%Y-%m-%d %H:%M} UTC. Every page "
            f"and file that it serves was checked against what was signed.</p>"
            f'<p>The index for your tools is <a href="simple/">simple/</a>. Sent so far: '
            f"{counted(replies.pages, 'page')}, {counted(replies.files, 'file')}.</p>"
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
        """Redirect to the path of a page, which ends with a slash (PEP 503)."""
        return redirect_to_page(request, request.path_params["project"])

    async def page(self, request: Request) -> Response:
        """The page of a project, with URLs of the gateway for its files."""
        name = request.path_params["project"]
        project = _project(name)
        if project != name:
            return redirect_to_page(request, project)
        answer = await self._answers.page(project)
        return self._replies.send(request, answer.served_from("../../"))

    async def file(self, request: Request) -> Response:
        """A distribution, or its ``.metadata`` file."""
        project = _project(request.path_params["project"])
        filename = request.path_params["filename"]
        if filename.endswith(METADATA_SUFFIX):
            name = filename.removesuffix(METADATA_SUFFIX)
            return self._replies.send(request, await self._answers.metadata(project, name))
        return self._replies.send(request, await self._answers.file(project, filename))

    async def by_url(self, request: Request) -> Response:
        """The verified answer for a URL that pip would fetch itself."""
        query = request.query_params
        if query.get("text"):
            data = await self._answers.requirements_file(query.get("url", ""))
            return Response(data, headers=COMMON_HEADERS, media_type="text/plain; charset=utf-8")
        answer = await self._answers.resolve_url(
            query.get("url", ""),
            hashes=frozenset(query.getlist("hash")),
            indexes=query.getlist("index"),
        )
        response = self._replies.send(request, answer)
        if not isinstance(answer, PageAnswer) and answer.kept:
            # pip reports files from its own cache in the same way.
            response.headers[KEPT_HEADER] = "1"
        return response


def _project(name: str) -> NormalizedName:
    try:
        return parse_project(name)
    except FormatError as error:
        raise UnknownError(error.what) from None
