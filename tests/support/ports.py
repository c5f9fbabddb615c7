"""Ports of this machine that are known before somebody listens there, or where nobody does."""

from __future__ import annotations

import secrets
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_FIRST, _LAST = 10_000, 32_767


def free_port() -> int:
    """A port for a server that has to be told one.

    It is none of those that the system gives away: no connection gets it before that server does.
    """
    last = _LAST
    with suppress(OSError, ValueError):
        given_away = Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()
        last = max(_FIRST + 1000, min(last, int(given_away[0]) - 1))
    while True:
        port = _FIRST + secrets.randbelow(last - _FIRST)
        with socket.socket() as one, suppress(OSError):
            one.bind(("127.0.0.1", port))
            return port


@contextmanager
def closed_port(port: int = 0) -> Iterator[int]:
    """A port where every connection is refused, for as long as the ``with`` lasts.

    Args:
        port: One that a server has just left; 0 for any.
    """
    with socket.socket() as held:
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        held.bind(("127.0.0.1", port))  # and nobody listens
        yield int(held.getsockname()[1])
