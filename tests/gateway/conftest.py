"""A gateway in this process, over the repository that ``hostile`` serves."""

from __future__ import annotations

import asyncio
import http.client
import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import pytest

from securepip.first_use import open_signers
from securepip.gateway.answers import Answers
from securepip.gateway.web.passing import Passing
from securepip.gateway.web.serve import Gateway
from securepip.index import Store
from securepip.transport import Transport, TransportOptions
from securepip.trust import TrustStore
from tests.support.hostile import HostileServer
from tests.support.repositories import MadeRepository

DEFAULT_INDEX = "https://default.example.org/simple"
LIB = "lib-1.0-py3-none-any.whl"
JSON = "application/vnd.pypi.simple.v1+json"


@dataclass(frozen=True)
class Reply:
    """An answer of a gateway."""

    status: int
    reason: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Running:
    """A running gateway, with its trust and its store."""

    url: str
    trust: TrustStore
    store: Store
    _connections: list[http.client.HTTPConnection] = field(default_factory=list)

    @property
    def host(self) -> str:
        return urlsplit(self.url).netloc

    def connect(self) -> http.client.HTTPConnection:
        connection = http.client.HTTPConnection(self.host, timeout=60)
        self._connections.append(connection)
        return connection

    def get(
        self,
        path: str,
        headers: Mapping[str, str] | None = None,
        method: str = "GET",
        connection: http.client.HTTPConnection | None = None,
    ) -> Reply:
        """Send a request; a path without a leading slash is relative to the gateway's URL."""
        whole = path if path.startswith("/") else urlsplit(self.url).path + path
        used = connection or self.connect()
        used.request(method, whole, headers=dict(headers or {}))
        answer = used.getresponse()
        body = answer.read()
        named = {name.lower(): value for name, value in answer.getheaders()}
        return Reply(answer.status, answer.reason, named, body)

    def page(self, project: str) -> Any:
        """A project's page, as JSON."""
        reply = self.get(f"simple/{project}/", {"Accept": JSON})
        assert reply.status == 200, reply
        return reply.json

    def by_url(self, url: str, *hashes: str, indexes: tuple[str, ...] = ()) -> Reply:
        """The gateway's answer to the plugin for a URL."""
        words = [f"url={quote(url, safe='')}", *(f"hash={quote(one)}" for one in hashes)]
        words += [f"index={quote(one, safe='')}" for one in indexes]
        return self.get(f"by-url?{'&'.join(words)}", {"Accept": JSON})

    def close(self) -> None:
        for connection in self._connections:
            connection.close()


@contextmanager
def run_gateway(
    folder: Path,
    *,
    refresh_seconds: float = 60.0,
    with_token: bool = True,
    by_url: bool = True,
    passing: Passing | None = None,
    cert: Path | None = None,
) -> Iterator[Running]:
    """Run a gateway with the trust and the store in ``folder``."""
    trust = TrustStore(folder / "trust")
    store = Store(folder / "store")
    options = TransportOptions(retries=0, timeout=60, cert=str(cert) if cert else None)
    with Transport(options) as transport, open_signers(options, store) as signers:
        answers = Answers(
            trust.read,
            transport,
            store,
            signers=signers,
            default_indexes=(DEFAULT_INDEX,),
            refresh_seconds=refresh_seconds,
        )
        gateway = Gateway(answers, with_token=with_token, by_url=by_url, passing=passing)
        ready: list[Callable[[], object]] = []
        started = threading.Event()

        async def until_told() -> int:
            ended, loop = asyncio.Event(), asyncio.get_running_loop()
            ready.append(lambda: loop.call_soon_threadsafe(ended.set))
            started.set()
            await ended.wait()
            return 0

        thread = threading.Thread(target=lambda: asyncio.run(gateway.run(until_told())))
        thread.start()
        assert started.wait(60)
        running = Running(gateway.url, trust, store)
        try:
            yield running
        finally:
            running.close()
            ready[0]()
            thread.join()


@pytest.fixture
def gateway(
    tmp_path: Path, shared_repository: MadeRepository, hostile: HostileServer
) -> Iterator[Running]:
    """A gateway that trusts the shared repository, served by ``hostile``."""
    trust = TrustStore(tmp_path / "gateway" / "trust")
    trust.add("made", hostile.url, shared_repository.root.read_bytes())
    with run_gateway(tmp_path / "gateway") as running:
        yield running
