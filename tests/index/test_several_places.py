"""If a mirror answers too slowly, the next one is asked."""

from __future__ import annotations

import re
import socket
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from unittest import mock

import pytest

from securepip.errors import RepositoryUnavailableError, TransportError, VerificationError
from securepip.formats.digests import sha256_of
from securepip.index import Store, VerifiedIndex
from securepip.index.ahead import begin_pages
from securepip.index.received import SILENT, Received
from securepip.signing.repository import commit
from securepip.transport import Allowance, Transport, TransportOptions
from securepip.transport.pool import Pool
from securepip.trust import Trust, TrustStore
from securepip.updater.mirrors import Mirrors
from tests.index.conftest import Served
from tests.index.noted import ALPHA, ALPHA_1, ALPHA_2, GAMMA, file_of
from tests.support.hostile import HostileServer, flip_byte, serve_hostile
from tests.support.patience import impatient
from tests.support.repositories import copy_repository, serve
from tests.support.wheels import make_wheel


@pytest.fixture
def mirror(served: Served) -> Iterator[HostileServer]:
    """Another server with the same files."""
    with serve_hostile(served.made.folder) as server:
        yield server


@pytest.fixture
def trust(served: Served, mirror: HostileServer, tmp_path: Path) -> Trust:
    store = TrustStore(tmp_path / "trust")
    root = served.made.root.read_bytes()
    store.add("made", served.server.url, root, mirrors=(mirror.url,))
    return store.read()


@pytest.fixture
def transport() -> Iterator[Transport]:
    with Transport(TransportOptions(retries=0)) as transport:
        yield transport


def alone(trust: Trust) -> Trust:
    """The same repository, without its mirror."""
    (made,) = trust.repositories
    return replace(trust, repositories=(replace(made, mirrors=()),))


def drawn_out(_: bytes) -> Iterator[bytes]:
    while True:
        yield b"{"
        time.sleep(0.1)


@pytest.mark.parametrize("has_mirror", [True, False])
def test_the_time_that_one_place_has_used_up_is_there_again_for_the_next(
    served: Served,
    trust: Trust,
    transport: Transport,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    has_mirror: bool,
) -> None:
    allowance = Allowance(60.0)
    monkeypatch.setattr("securepip.index.verified.Allowance", lambda: allowance)

    def draw_out(_: bytes) -> int:
        allowance._seconds = 0.0  # as a server does that says a byte now and then
        return 503

    served.server.alter("metadata/.*", draw_out)
    index = VerifiedIndex(
        trust if has_mirror else alone(trust), transport, Store(tmp_path / "store")
    )
    if has_mirror:
        assert index.page(ALPHA) is not None
        return
    for _ in range(2):
        with pytest.raises(RepositoryUnavailableError):
            index.page(ALPHA)
    assert allowance.left() <= 0


def test_an_answer_that_is_under_way_when_the_time_is_renewed_takes_of_the_new_time() -> None:
    with mock.patch("securepip.transport.allowance.time.monotonic") as clock:
        clock.return_value = 100.0
        allowance = Allowance(10.0)
        allowance.begin()
        clock.return_value += 9.0
        assert allowance.left() == 1.0
        allowance.renew()
        assert allowance.left() == 10.0
        clock.return_value += 4.0
        assert allowance.left() == 6.0
        allowance.end(10_000_000, whole=False)
        assert allowance.left() == 506.0
        allowance.renew()
        assert allowance.left() == 506.0, "what was earned is kept"


def test_nothing_more_is_asked_of_a_place_of_what_was_begun_there(
    served: Served,
    trust: Trust,
    transport: Transport,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """All threads would wait for it, and use up the time of the next one."""
    transport._wire.pool = Pool(1)
    index = VerifiedIndex(trust, transport, Store(tmp_path / "store"), installs=True)
    files = [file_of(index, name) for name in (ALPHA_2, ALPHA_1)]
    served.server.alter(r"packages/.*", drawn_out)
    impatient(monkeypatch, re.escape(served.server.url) + "packages/.*", 0.5)
    index.prefetch_metadata(ALPHA, files)
    assert all(index.core_metadata(ALPHA, file) for file in files)
    transport.submit(str, "all that was begun has had its turn").result()
    assert not any(path.endswith(".whl") for path in served.server.seen)


@pytest.mark.parametrize("has_mirror", [True, False])
def test_a_place_that_alters_metadata_keeps_nobody_from_one_that_does_not_carry_it(
    served: Served,
    mirror: HostileServer,
    trust: Trust,
    transport: Transport,
    tmp_path: Path,
    has_mirror: bool,
) -> None:
    """It is in the file, too, whose page signs it."""
    served.server.alter(r".*\.metadata", flip_byte)
    mirror.withhold(r".*\.metadata")
    if not has_mirror:
        trust = alone(trust)
    index = VerifiedIndex(trust, transport, Store(tmp_path / "store"))
    file = file_of(index, ALPHA_1)
    if has_mirror:
        assert sha256_of(index.core_metadata(ALPHA, file)) == file.core_metadata
        return
    with pytest.raises(VerificationError, match="is not what was signed"):
        index.core_metadata(ALPHA, file)


def test_what_came_of_a_file_from_one_place_is_dropped_before_the_next_is_asked(
    served: Served,
    trust: Trust,
    transport: Transport,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    told: list[int] = []

    def tell(filename: str, size: int) -> AbstractContextManager[Callable[[int], None]]:
        return nullcontext(told.append)

    monkeypatch.setattr(SILENT, "download", tell)
    index = VerifiedIndex(trust, transport, Store(tmp_path / "store"))
    file = file_of(index, ALPHA_1)
    served.server.alter(r"packages/.*", flip_byte)
    (fetched,) = index.fetch([(ALPHA, file)])
    assert sha256_of(fetched.path.read_bytes()) == file.sha256
    assert sum(told) == file.size
    assert min(told) == -(file.size or 0), "whoever looks at the bar sees that it begins anew"


def test_what_was_begun_at_other_places_is_still_wanted_when_one_is_left(
    served: Served, mirror: HostileServer, transport: Transport, tmp_path: Path
) -> None:
    places = Mirrors([(served.server.url, (mirror.url,))])
    received = Received(transport, Store(tmp_path / "store"), places)
    urls = [f"{place.url}metadata/timestamp.json" for place in (served.server, mirror)]
    for url in urls:
        received._early[url, 10_000, sha256_of(url.encode())] = transport.early(url, max_bytes=1)

    def fetch(url: str) -> None:
        if url.startswith(served.server.url):
            raise TransportError("it does not answer", url=url)

    places.try_each(served.server.url, fetch)
    assert [url for url, _, _ in received._early] == urls[1:]
    kept = weakref.ref(received)
    del received
    assert kept() is None, "the mirrors keep nobody who has asked them"


def test_a_page_is_begun_at_the_place_that_is_asked_now(
    served: Served, mirror: HostileServer, trust: Trust, transport: Transport
) -> None:
    (made,) = trust.repositories
    places = Mirrors([(made.location, made.mirrors)])

    def fetch(url: str) -> None:
        if url.startswith(served.server.url):
            raise TransportError("it does not answer", url=url)

    places.try_each(made.location, fetch)
    begin_pages(transport, made, [ALPHA], places)
    assert transport.expects(f"{mirror.url}simple/alpha/index.json")
    begin_pages(transport, made, [GAMMA], Mirrors())
    assert transport.expects(f"{served.server.url}simple/gamma/index.json")


def test_a_place_cannot_have_the_next_one_refuse_every_request(
    served: Served, transport: Transport, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With cookies for all hosts of their domain, each request was longer than servers take."""
    look_up = socket.getaddrinfo
    monkeypatch.setattr(
        socket, "getaddrinfo", lambda host, *rest, **more: look_up("127.0.0.1", *rest, **more)
    )
    served.server.headers += [
        ("Set-Cookie", f"c{number}={'x' * 4000}; Domain=example.org; Path=/")
        for number in range(20)
    ]
    served.server.withhold(".*", 503)
    store = TrustStore(tmp_path / "trust")
    with serve(served.made.folder) as url:
        first = served.server.url.replace("127.0.0.1", "mirror.example.org")
        honest = url.replace("127.0.0.1", "packages.example.org")
        store.add("made", first, served.made.root.read_bytes(), mirrors=(honest,))
        index = VerifiedIndex(store.read(), transport, Store(tmp_path / "store"))
        assert index.page(ALPHA) is not None
    assert served.server.seen, "the first place was asked"


DIVIDED = b'{"signed":{"delegations":{"succinct_roles":{"bit_length":%s,"name_prefix":"bin"}}}}'


def hint_without_meaning(served: Served, tmp_path: Path) -> None:
    """The number is no number: it is read before its file is verified."""
    served.server.alter(r"metadata/\d+\.bins\.json", lambda _: DIVIDED % b"Infinity")


def time_of_no_calendar(served: Served, tmp_path: Path) -> None:
    """If metadata has expired, the server's clock is read to tell the user the reason."""
    expired = copy_repository(served.made, tmp_path / "expired")
    then = datetime.now(timezone.utc).replace(microsecond=0) - timedelta(days=30)
    with mock.patch.object(commit, "now", lambda: then):
        expired.add(make_wheel(tmp_path / "built", "other", "1.0"))
    served.server.folder = expired.folder
    served.server.date = f"Fri, 27 Nov 2026 13:00:00 +{'9' * 20}"


@pytest.mark.parametrize("says", [hint_without_meaning, time_of_no_calendar])
@pytest.mark.parametrize("has_mirror", [True, False])
def test_what_a_place_says_that_is_not_verified_ends_nothing(
    served: Served,
    trust: Trust,
    transport: Transport,
    tmp_path: Path,
    says: Callable[[Served, Path], None],
    has_mirror: bool,
) -> None:
    """It ended the run as a defect of ours, each time, and the honest place was never asked."""
    says(served, tmp_path)
    index = VerifiedIndex(
        trust if has_mirror else alone(trust), transport, Store(tmp_path / "store")
    )
    index.prefetch_pages([ALPHA])
    if has_mirror:
        assert index.page(ALPHA) is not None
        return
    with pytest.raises(VerificationError):
        index.page(ALPHA)
