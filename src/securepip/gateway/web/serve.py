"""Runs the gateway's server.

The HTTP stack is uvicorn with h11 and Starlette. They are well maintained, parse HTTP/1.1 strictly,
serve hundreds of clients in one thread, and stop sending to a client that does not read.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import socket
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from typing import Any

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from securepip.errors import SecurepipError
from securepip.gateway.answers import Answers
from securepip.gateway.web.app import create_app
from securepip.gateway.web.passing import TAKE_OVER, Passing, Streams
from securepip.gateway.web.replies import REASON_HEADER

HOST = "127.0.0.1"
_BACKLOG = 512
_STOP_SECONDS = 1
_KEEP_ALIVE_SECONDS = 75
_REQUEST_SECONDS = 30


class Gateway:
    """A gateway. It listens at once, and answers during ``run``.

    Args:
        answers: Answers the requests.
        port: The port; 0 for any free one.
        with_token: Whether its address has a token.
        by_url: See ``create_app``.
        passing: See ``create_app``.

    Attributes:
        url: Its address with the token, ending in a slash.

    Raises:
        SecurepipError: The port is not available.
    """

    def __init__(
        self,
        answers: Answers,
        *,
        port: int = 0,
        with_token: bool = True,
        by_url: bool = False,
        passing: Passing | None = None,
    ) -> None:
        self._answers = answers
        self._socket = _listen(port)
        port = self._socket.getsockname()[1]
        token = secrets.token_urlsafe(32) if with_token else None
        self.url = f"http://{HOST}:{port}/{f'{token}/' if token else ''}"
        app = create_app(
            answers,
            token=token,
            hosts=(f"{HOST}:{port}", f"localhost:{port}"),
            by_url=by_url,
            passing=passing,
        )
        self._server = _Server(
            uvicorn.Config(
                app,
                http=_Protocol,
                ws="none",
                lifespan="off",
                loop="asyncio",
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,
                backlog=_BACKLOG,
                timeout_keep_alive=_KEEP_ALIVE_SECONDS,
                timeout_graceful_shutdown=_STOP_SECONDS,
            )
        )

    async def run(self, until: Coroutine[Any, Any, int]) -> int:
        """Answer requests until ``until`` is done; its result."""
        serving = asyncio.create_task(self._server.serve([self._socket]))
        waiting = asyncio.create_task(until)
        try:
            await asyncio.wait((serving, waiting), return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._server.should_exit = True
            await serving
            self._answers.close()
        return await waiting


class _Server(uvicorn.Server):
    """A server that leaves signals to the command."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture no signals."""
        yield


class _Connection(h11.Connection):
    """Sends the reason of a refusal as its reason phrase: pip and others print only that."""

    def send(self, event: Any) -> Any:
        if isinstance(event, h11.Response):
            reason = dict(event.headers).get(REASON_HEADER.encode())
            if reason is not None:
                event = h11.Response(
                    status_code=event.status_code, headers=event.headers, reason=reason
                )
        return super().send(event)


class _Protocol(H11Protocol):
    """Ends connections that send no complete request, and hands connections over to tunnels.

    uvicorn would wait for the rest of a request for ever. Any user of this machine, with or without
    the token, could use up all connections.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.conn = _Connection(h11.SERVER)
        self.app_state = {**self.app_state, TAKE_OVER: self._take_over}
        self._deadline: asyncio.TimerHandle | None = None

    def _take_over(self) -> Streams:
        """Answer that a tunnel begins (RFC 9110, CONNECT), and hand the connection over."""
        self._stop_waiting()
        self.cycle.disconnected = True  # no other response is sent
        self.flow.resume_reading()
        self.transport.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        reader = asyncio.StreamReader(loop=self.loop)
        protocol = asyncio.StreamReaderProtocol(reader, loop=self.loop)
        self.transport.set_protocol(protocol)
        protocol.connection_made(self.transport)
        reader.feed_data(self.conn.trailing_data[0])
        self.connections.discard(self)
        return reader, asyncio.StreamWriter(self.transport, protocol, reader, self.loop)

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._wait_for_request()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._wait_for_request()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._stop_waiting()

    def _wait_for_request(self) -> None:
        if self.cycle is not None and not self.cycle.response_complete:
            self._stop_waiting()
        elif self._deadline is None:
            self._deadline = self.loop.call_later(_REQUEST_SECONDS, self.transport.abort)

    def _stop_waiting(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None


def _listen(port: int) -> socket.socket:
    # The protocol is given because asyncio sets TCP_NODELAY only then; without it, each answer
    # would take 40 ms longer.
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        if os.name == "posix":
            # A port that was in use a minute ago can be used again.
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((HOST, port))
        listening.listen(_BACKLOG)
    except (OSError, OverflowError) as error:
        listening.close()
        raise SecurepipError(
            f"cannot listen on {HOST} port {port}: {error}",
            remedy="Another program may have it: try another --port.",
        ) from None
    listening.setblocking(False)
    return listening
