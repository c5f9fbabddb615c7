"""Clients without the token get little, and their connections are closed soon."""

from __future__ import annotations

import socket
import time
from typing import Any

import pytest

from securepip.gateway.web import serve
from tests.gateway.conftest import Running


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_a_web_page_elsewhere_may_not_ask(gateway: Running, site: str) -> None:
    reply = gateway.get("simple/lib/", {"Sec-Fetch-Site": site})
    assert (reply.status, reply.reason) == (403, "a web page elsewhere may not ask")
    for own in ("none", "same-origin"):
        assert gateway.get("simple/lib/", {"Sec-Fetch-Site": own}).status == 200


@pytest.mark.parametrize("first", [b"", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"])
def test_who_sends_no_whole_request_is_not_waited_for(
    gateway: Running, monkeypatch: pytest.MonkeyPatch, first: bytes
) -> None:
    monkeypatch.setattr(serve, "_REQUEST_SECONDS", 0.3)
    host, _, port = gateway.host.partition(":")
    with socket.create_connection((host, int(port)), timeout=60) as stranger:
        stranger.sendall(first)
        began = time.monotonic()
        with pytest.raises(OSError, match=r"reset|roken"):
            while time.monotonic() - began < 60:
                # Send a little more of a header section that never ends.
                stranger.sendall(b"X")
                time.sleep(0.1)


def test_who_has_sent_a_request_may_keep_the_connection(
    gateway: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[serve._Protocol] = []
    begin = serve._Protocol.connection_made

    def noted(self: serve._Protocol, transport: Any) -> None:
        made.append(self)
        begin(self, transport)

    monkeypatch.setattr(serve._Protocol, "connection_made", noted)
    connection = gateway.connect()
    for _ in range(2):
        assert gateway.get("simple/lib/", connection=connection).status == 200
        (protocol,) = made
        assert protocol._deadline is None, "nothing ends it"
