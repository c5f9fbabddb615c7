"""The gateway as the proxy of a command: answers the tool's requests for other hosts.

The rules:

* A request is answered with what was signed, or with a file that the user named with a strong hash.
  The page of an index that stands for a trusted repository gets URLs of the gateway for its files.
* Everything else is refused, with the reason. So is every encrypted connection (CONNECT), because
  nobody can see which file the tool asks for in it.
* Requests to a host that the user has named with ``--allow`` go to that host, unverified.
* The proxy is for the command alone: it asks for the token, as the password of a proxy.

Sources: RFC 9110 (CONNECT, proxy authentication), RFC 9112 (absolute form).
"""

from __future__ import annotations

import base64
import binascii
import hmac
from http import HTTPStatus
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from securepip.gateway import by_url
from securepip.gateway.answers import Answers, PageAnswer
from securepip.gateway.web.passing import Passing, forward, open_tunnel
from securepip.gateway.web.replies import Replies, problem
from securepip.transport import redact

PROXY_USER = "securepip"
"""The user name that goes with the token."""

_HTTP_PORT, _HTTPS_PORT = 80, 443
_SEEN = "The gateway sees hashes in the command itself, and in files that it names with -r."


class Proxy:
    """An ASGI application for requests that are not for the gateway itself.

    Args:
        answers: Answers the requests.
        replies: Makes the responses.
        passing: What the user lets pass.
        token: The password; None if none is needed.
        base: The gateway's own address, ending in a slash.
    """

    def __init__(
        self, answers: Answers, replies: Replies, passing: Passing, token: str | None, base: str
    ) -> None:
        self._answers = answers
        self._replies = replies
        self._passing = passing
        self._token = token
        self._base = base

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        request = Request(scope, receive)
        if self._token is not None and not _knows(request, self._token):
            reply = problem(HTTPStatus.PROXY_AUTHENTICATION_REQUIRED, "the proxy wants its token")
            reply.headers["Proxy-Authenticate"] = 'Basic realm="securepip gateway"'
        elif scope["method"] == "CONNECT":
            reply = await self._replies.explained(self._connect)(request)
        else:
            reply = await self._replies.explained(self._fetch)(request)
        await reply(scope, receive, send)

    async def _connect(self, request: Request) -> Response:
        """Open a tunnel to a host that the user lets pass.

        Raises:
            RefusedError: The user does not let it pass.
        """
        host, port = _authority(request.scope["raw_path"].decode("ascii"), _HTTPS_PORT)
        if not self._passing.allows(host, port):
            raise by_url.RefusedError(
                f"a connection to {host}:{port} was refused: nobody could verify what comes from "
                "there",
                meaning="Inside the gateway a tool gets what was signed, from the gateway. This "
                "connection is encrypted, so not even a file whose hash you named can be told "
                "from others.",
                remedy="An index: leave it out; the gateway is the index. A file with a hash: "
                "`securepip download 'NAME @ URL#sha256=…'` fetches and compares it, then name "
                f"the file.\n{_allow(host)}",
            )
        return await open_tunnel(host, port, self._passing)

    async def _fetch(self, request: Request) -> Response:
        """Answer a request for an http URL.

        Raises:
            RefusedError: Nobody vouches for the URL.
            SecurepipError: As ``Answers.resolve_url``.
        """
        scope = request.scope
        query = scope["query_string"].decode("latin-1")
        url = scope["raw_path"].decode("ascii") + (f"?{query}" if query else "")
        asked = by_url.parse(url)
        parts = urlsplit(asked.url)
        host = parts.hostname or ""
        port = parts.port or (_HTTPS_PORT if parts.scheme == "https" else _HTTP_PORT)
        if self._passing.allows(host, port):
            return await forward(request, asked.url, self._passing)
        if request.method not in ("GET", "HEAD"):
            raise by_url.RefusedError(
                f"{redact(asked.url)} was refused: a tool wants to send something there "
                f"({request.method})",
                remedy=_allow(host),
            )
        hashes = self._passing.named.get(asked.url, frozenset())
        try:
            answer = await self._answers.resolve_url(url, hashes=hashes)
        except by_url.RefusedError as error:
            remedy = f"{error.remedy}\n{_SEEN}\n{_allow(host)}"
            raise by_url.RefusedError(error.what, meaning=error.meaning, remedy=remedy) from None
        if isinstance(answer, PageAnswer):
            answer = answer.served_from(self._base)
        return self._replies.send(request, answer)


def _allow(host: str) -> str:
    return (
        "If something that you run needs the host, and need not be verified: "
        f"securepip gateway --allow {host} -- COMMAND"
    )


def _knows(request: Request, token: str) -> bool:
    """Whether the request carries the token as a proxy's password."""
    kind, _, encoded = request.headers.get("proxy-authorization", "").partition(" ")
    try:
        given = base64.b64decode(encoded, validate=True).partition(b":")[2]
    except (ValueError, binascii.Error):
        return False
    # Compared in constant time: the time must not tell how much of a guess was right.
    return kind.lower() == "basic" and hmac.compare_digest(given, token.encode())


def _authority(text: str, default_port: int) -> tuple[str, int]:
    """Parse ``host:port``.

    Raises:
        RefusedError: ``text`` is something else.
    """
    try:
        parts = urlsplit(f"//{text}")
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    if not host:
        raise by_url.RefusedError(f"not a host and a port: {text!r:.200}")
    return host, port or default_port
