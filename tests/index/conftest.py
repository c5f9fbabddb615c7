"""A signed repository, and a client that trusts it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from securepip.index import Store, VerifiedIndex
from securepip.transport import Transport, TransportOptions
from securepip.trust import TrustStore
from securepip.updater import Session
from tests.index.noted import ALPHA, DELTA, Asked
from tests.support.hostile import HostileServer, serve_hostile
from tests.support.repositories import MadeRepository, make_repository
from tests.support.wheels import make_sdist, make_wheel


@dataclass(frozen=True)
class Served:
    """A repository, and the server between it and the client."""

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
    """Makes the index of a new run. All runs have the same state and cache."""
    trust = TrustStore(tmp_path / "trust")
    trust.add("made", served.server.url, served.made.root.read_bytes())
    transport = Transport(TransportOptions(retries=0, timeout=60))
    yield lambda **options: VerifiedIndex(
        trust.read(), transport, Store(tmp_path / "store"), **options
    )
    transport.close()


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> MadeRepository:
    """``alpha`` 1 and 2, and ``gamma`` 1."""
    folder = tmp_path_factory.mktemp("made")
    wheels = [make_wheel(folder / "built", *one) for one in (("alpha", "1.0"), ("alpha", "2.0"))]
    return make_repository(
        folder / "repository", *wheels, make_wheel(folder / "built", "gamma", "1.0")
    )


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> MadeRepository:
    """``delta`` 1, and another ``alpha`` 1."""
    folder = tmp_path_factory.mktemp("other")
    wheels = [make_wheel(folder / "built", name, "1.0", requires=["x"]) for name in (ALPHA, DELTA)]
    return make_repository(folder / "repository", *wheels)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Asked:
    """The requests of this test, with the place that each goes to."""
    found = Asked()
    early, get, download = Transport.early, Transport.get, Transport.download
    prefetch, look_anew = Session.prefetch, Session.look_anew

    def noted(into: list[str], function: Callable[..., object]) -> Callable[..., object]:
        def call(self: Transport, url: str, *rest: object, **more: object) -> object:
            if "/metadata/" not in url:
                into.append(re.sub(r"^[0-9a-f]{64}\.", "", url.rsplit("/", 1)[1]))
            return function(self, url, *rest, **more)

        return call

    def prefetches(self: Session, paths: Iterable[str], *, wait: bool = True) -> None:
        paths = list(paths)
        found.prefetched.append((self.name, paths, wait))
        prefetch(self, paths, wait=wait)

    def looks_anew(self: Session) -> None:
        found.anew.append(self.name)
        look_anew(self)

    monkeypatch.setattr(Transport, "early", noted(found.early, early))
    monkeypatch.setattr(Transport, "get", noted(found.now, get))
    monkeypatch.setattr(Transport, "download", noted(found.now, download))
    monkeypatch.setattr(Session, "prefetch", prefetches)
    monkeypatch.setattr(Session, "look_anew", looks_anew)
    return found
