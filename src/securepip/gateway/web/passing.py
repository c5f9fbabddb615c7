"""What the user lets pass the gateway: hosts that a build needs, and files named with a hash.

Rule: the gateway connects only to hosts that the user has named exactly. What they send is not
verified, and not stored.
"""

from __future__ import annotations

import asyncio
import base64
import os
import re
import ssl
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from types import MappingProxyType
from urllib.parse import unquote, urlsplit

import truststore
import urllib3
from requests.utils import get_environ_proxies, select_proxy
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from securepip.errors import TransportError, UsageError
from securepip.formats.digests import CHUNK
from securepip.gateway import by_url
from securepip.transport import TransportOptions, redact

TAKE_OVER = "securepip.take_over"
"""The key in the state of a request's scope under which the server offers the connection itself."""

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]

_MAX_HEAD = 64 << 10
_MAX_SENT = 64 << 20
_CONNECT_SECONDS = 60.0
_HOP_BY_HOP = {
    "connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "proxy-connection",
    "te", "trailer", "transfer-encoding", "upgrade",
}  # fmt: skip
# These split a command or a requirements file into words. They look at each character once, because
# a file may be very long.
_SEPARATORS = re.compile(r"[\s'\"]+")
_ADDRESS = re.compile(r"https?://[^#]+", re.IGNORECASE)
_DIGEST = re.compile(
    r"\b(sha256=[0-9a-f]{64}|sha384=[0-9a-f]{96}|sha512=[0-9a-f]{128})\b", re.IGNORECASE
)
_HOST = re.compile(r"(\[[0-9a-f:.]+\]|[\w.-]+)(:(?P<port>[0-9]{1,5}))?", re.IGNORECASE)
_LAST_PORT = 65535
_MAX_REQUIREMENTS_BYTES = 16 << 20


@dataclass(frozen=True)
class Passing:
    """The connections that may pass the gateway.

    Attributes:
        hosts: Hosts in lower case: ``host`` for all its ports, or ``host:port``.
        named: The URLs of files, with the strong hashes that the user gave for each.
        options: How servers are reached.
    """

    hosts: frozenset[str] = frozenset()
    named: Mapping[str, frozenset[str]] = field(default_factory=lambda: MappingProxyType({}))
    options: TransportOptions = field(default_factory=TransportOptions)

    def allows(self, host: str, port: int) -> bool:
        """Whether connections to this host and port may pass."""
        shown = f"[{host}]" if ":" in host else host
        return not self.hosts.isdisjoint({shown.lower(), f"{shown}:{port}".lower()})


def parse_allowed(texts: Sequence[str]) -> frozenset[str]:
    """The hosts that ``--allow`` names.

    Raises:
        UsageError: One is neither a host nor ``host:port``.
    """
    for text in texts:
        match = _HOST.fullmatch(text)
        if match is None or int(match["port"] or 1) > _LAST_PORT:
            raise UsageError(f"--allow: {text!r} is neither HOST nor HOST:PORT")
    return frozenset(text.lower() for text in texts)


def named_with_hash(words: Sequence[str]) -> dict[str, frozenset[str]]:
    """The URLs with a strong hash (``URL#sha256=…``) that a command names.

    Args:
        words: The command. The URLs in requirements files that it names (``-r``) count too, but not
            those in files that these files name.
    """
    texts = list(words)
    for before, word in zip(["", *words], words, strict=False):
        for option in ("-r", "--requirement", "--requirements"):
            inline = word.removeprefix(option).removeprefix("=") if word.startswith(option) else ""
            name = word if before == option else inline
            # Path.is_file raises OSError for a word that is too long for a name.
            if name and os.path.isfile(name):  # noqa: PTH113
                with suppress(OSError), Path(name).open("rb") as stream:
                    texts.append(stream.read(_MAX_REQUIREMENTS_BYTES).decode("utf-8", "replace"))
    hashes: dict[str, frozenset[str]] = {}
    for word in (one for text in texts for one in _SEPARATORS.split(text)):
        before, _, fragment = word.partition("#")
        address, digest = _ADDRESS.search(before), _DIGEST.search(fragment)
        if address is not None and digest is not None:
            with suppress(by_url.RefusedError):
                url = by_url.parse(address[0]).url
                hashes[url] = hashes.get(url, frozenset()) | {digest[1].lower().replace("=", ":")}
    return hashes


async def open_tunnel(host: str, port: int, passing: Passing) -> Response:
    """A response that connects the client with a host, through the user's proxy if there is one.

    Raises:
        TransportError: The host cannot be connected to.
    """
    try:
        connecting = _connected(host, port, passing.options)
        return _Tunnel(await asyncio.wait_for(connecting, _CONNECT_SECONDS))
    except (
        OSError,
        ValueError,
        EOFError,
        asyncio.LimitOverrunError,
        asyncio.TimeoutError,
    ) as error:
        url = f"https://{host}:{port}/"
        raise TransportError(
            f"{host}:{port} could not be connected to: {error or type(error).__name__}", url=url
        ) from None


async def forward(request: Request, url: str, passing: Passing) -> Response:
    """Send a request on to a host; its answer, unchanged.

    Raises:
        RefusedError: The request is too long.
        TransportError: There is no answer.
    """
    body = b""
    async for piece in request.stream():
        body += piece
        if len(body) > _MAX_SENT:
            raise by_url.RefusedError(f"more than {_MAX_SENT} bytes are to be sent to {url}")
    headers = urllib3.HTTPHeaderDict(
        [pair for pair in request.headers.items() if pair[0].lower() not in _HOP_BY_HOP]
    )
    proxy = _proxy_for(url, passing.options)
    manager = urllib3.ProxyManager(proxy) if proxy else urllib3.PoolManager()

    def ask() -> urllib3.BaseHTTPResponse:
        return manager.request(
            request.method, url, body=body or None, headers=headers, redirect=False, retries=False,
            preload_content=False, decode_content=False, timeout=passing.options.timeout,
        )  # fmt: skip

    try:
        answer = await asyncio.to_thread(ask)
    except (urllib3.exceptions.HTTPError, OSError, ValueError) as error:
        raise TransportError(f"{redact(url)} could not be fetched: {error}", url=url) from None

    async def pieces() -> AsyncIterator[bytes]:
        try:
            while piece := await asyncio.to_thread(answer.read1, CHUNK):
                yield piece
        finally:
            answer.close()
            manager.clear()

    reply = StreamingResponse(pieces(), status_code=answer.status)
    reply.raw_headers = [
        (name.encode("latin-1"), value.encode("latin-1"))
        for name, value in answer.headers.items()
        if name.lower() not in _HOP_BY_HOP
    ]
    return reply


class _Tunnel(Response):
    """A response that passes bytes in both directions until both sides end."""

    def __init__(self, upstream: Streams) -> None:
        super().__init__(status_code=HTTPStatus.OK)
        self._upstream = upstream

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Take the connection over."""
        take_over: Callable[[], Streams] = scope["state"][TAKE_OVER]
        client = take_over()
        try:
            await asyncio.gather(
                _copy(client[0], self._upstream[1]), _copy(self._upstream[0], client[1])
            )
        finally:
            for _, writer in (client, self._upstream):
                writer.close()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while piece := await reader.read(CHUNK):
            writer.write(piece)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()


async def _connected(host: str, port: int, options: TransportOptions) -> Streams:
    """A connection to a host, through the user's proxy if there is one.

    Raises:
        OSError: There is no connection.
        ValueError: The proxy cannot be used, or refuses.
    """
    proxy = _proxy_for(f"https://{host}:{port}/", options)
    if not proxy:
        return await asyncio.open_connection(host, port)
    parts = urlsplit(proxy)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"the proxy {redact(proxy)} is none for http")
    context = None
    if parts.scheme == "https":
        context = (
            ssl.create_default_context(cafile=options.cert)
            if options.cert
            else truststore.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        )
    default = 443 if context else 80
    reader, writer = await asyncio.open_connection(
        parts.hostname, parts.port or default, ssl=context
    )
    shown = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    head = f"CONNECT {shown} HTTP/1.1\r\nHost: {shown}\r\n"
    if parts.username:
        login = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        head += f"Proxy-Authorization: Basic {base64.b64encode(login.encode()).decode()}\r\n"
    writer.write(f"{head}\r\n".encode())
    answer = await reader.readuntil(b"\r\n\r\n")
    if len(answer) > _MAX_HEAD or answer.split(b" ", 2)[1:2] != [b"200"]:
        writer.close()
        line = answer.split(b"\r\n", 1)[0][:200].decode("latin-1")
        raise ValueError(f"the proxy {redact(proxy)} answers {line!r}")
    return reader, writer


def _proxy_for(url: str, options: TransportOptions) -> str | None:
    """The user's own proxy for a URL; None if there is none."""
    if options.proxy:
        return options.proxy
    proxy: str | None = select_proxy(url, get_environ_proxies(url))
    return proxy
