"""One signed repository for the room, and a client that trusts it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from securepip.index import Store, VerifiedIndex
from securepip.transport import Transport, TransportOptions
from securepip.trust import TrustStore
from tests.support.hostile import HostileServer, serve_hostile
from tests.support.repositories import MadeRepository, make_repository
from tests.support.wheels import make_sdist, make_wheel


@dataclass(frozen=True)
class Served:
    """A repository and the server between it and the client."""

    made: MadeRepository
    server: HostileServer


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    """A repository with ``alpha`` 1 and 2 (wheels), ``beta`` 1 (sdist) and ``gamma`` 1."""
    built = tmp_path / "built"
    made = make_repository(
        tmp_path / "repository",
        make_wheel(built, "alpha", "1.0"),
        make_wheel(built, "alpha", "2.0", requires=["gamma"]),
        make_sdist(built, "beta", "1.0"),
        make_wheel(built, "gamma", "1.0"),
    )
    with serve_hostile(made.folder) as server:
        yield Served(made, server)


@pytest.fixture
def client(served: Served, tmp_path: Path) -> Iterator[Callable[..., VerifiedIndex]]:
    """Makes the index of a new run; all runs share state and cache."""
    trust = TrustStore(tmp_path / "trust")
    trust.add("made", served.server.url, served.made.root.read_bytes())
    transport = Transport(TransportOptions(retries=0, timeout=5))
    yield lambda **options: VerifiedIndex(
        trust.read(), transport, Store(tmp_path / "store"), **options
    )
    transport.close()
