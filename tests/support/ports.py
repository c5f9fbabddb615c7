"""Ports on loopback: a free one for a server that needs its number, and a closed one."""

from __future__ import annotations

import secrets
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_FIRST, _LAST = 10_000, 32_767


def free_port() -> int:
    """A free port for a server that must be told its port.

    It is outside the system's range of ephemeral ports: no connection takes it meanwhile.
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
    """A port that refuses every connection for as long as the ``with`` lasts.

    Args:
        port: The port of a server that has just ended; 0 for any port.
    """
    with socket.socket() as held:
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        held.bind(("127.0.0.1", port))  # but not listening
        yield int(held.getsockname()[1])
