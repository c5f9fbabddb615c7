"""The order in which mirrors are asked, and the messages about one that fails."""

from __future__ import annotations

import io
import logging
from pathlib import Path
from unittest import mock

import pytest

from securepip.errors import (
    RepositoryUnavailableError,
    SecurepipError,
    TransportError,
    VerificationError,
)
from securepip.transport import Transport, TransportOptions, redact
from securepip.updater.fetcher import Fetcher
from securepip.updater.mirrors import Mirrors, passed_over
from securepip.updater.session import Session
from tests.support.hostile import HostileServer
from tests.support.repositories import MadeRepository

FIRST = "https://packages.example.org/"
SECOND = "https://user:hidden@mirror.example.org/of/"
THIRD = "https://other.example.org/"
BROKEN = TransportError("nobody is there", url=FIRST)


@pytest.fixture
def places() -> Mirrors:
    return Mirrors([(FIRST, (SECOND, THIRD)), (f"{FIRST}below/", ())])


class Places:
    """Fetches from mirrors without an error, and records the requests."""

    def __init__(self, **errors: SecurepipError) -> None:
        self.errors = errors
        self.asked: list[str] = []

    def fetch(self, url: str) -> str:
        self.asked.append(url)
        for name, error in self.errors.items():
            if f"//{name}" in url or f"@{name}" in url:
                raise error
        return url


def test_the_first_place_is_asked_as_long_as_it_answers(places: Mirrors) -> None:
    has = Places()
    assert places.try_each(f"{FIRST}a", has.fetch) == f"{FIRST}a"
    assert has.asked == [f"{FIRST}a"]
    assert places.at(f"{FIRST}a") == f"{FIRST}a"
    assert passed_over() == []


@pytest.mark.parametrize(
    "error", [BROKEN, VerificationError("forged"), RepositoryUnavailableError("it is not there")]
)
def test_one_that_fails_is_passed_over_for_a_while_and_named_once_without_a_password(
    places: Mirrors, error: SecurepipError, caplog: pytest.LogCaptureFixture
) -> None:
    has = Places(packages=error)
    with mock.patch("securepip.updater.mirrors.time.monotonic") as clock:
        clock.return_value = 1000.0
        assert places.try_each(f"{FIRST}a/b", has.fetch) == f"{SECOND}a/b"
        assert places.try_each(f"{FIRST}c", has.fetch) == f"{SECOND}c"
        assert has.asked == [f"{FIRST}a/b", f"{SECOND}a/b", f"{SECOND}c"]
        assert places.at(f"{FIRST}d") == f"{SECOND}d"
        (said,) = passed_over()
        clock.return_value += 599.9
        assert places.at(f"{FIRST}d") == f"{SECOND}d"
        clock.return_value = 1600.0
        assert passed_over() == []
        assert places.at(f"{FIRST}d") == f"{FIRST}d"
        assert [one.getMessage() for one in caplog.records] == [said]
        places.try_each(f"{FIRST}e", has.fetch)
        assert [one.getMessage() for one in caplog.records] == [said, said]
    assert "packages.example.org/ is passed over, and https://" in said
    assert "mirror.example.org/of/ is asked instead: " in said
    assert said.endswith(error.what)
    assert "hidden" not in said


@pytest.mark.parametrize("status", [403, 404, 410])
def test_a_place_that_lacks_one_file_is_asked_for_the_next(
    places: Mirrors, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    has = Places(packages=TransportError("not there", url=FIRST, status=status))
    assert places.try_each(f"{FIRST}a", has.fetch) == f"{SECOND}a"
    assert places.at(f"{FIRST}b") == f"{FIRST}b"
    assert not caplog.records


@pytest.mark.parametrize("status", [500, 503])
def test_a_place_whose_server_fails_is_passed_over(places: Mirrors, status: int) -> None:
    has = Places(packages=TransportError("failed", url=FIRST, status=status))
    places.try_each(f"{FIRST}a", has.fetch)
    assert places.at(f"{FIRST}b") == f"{SECOND}b"


def test_where_all_fail_the_first_error_is_raised_and_all_are_asked_again(
    places: Mirrors, caplog: pytest.LogCaptureFixture
) -> None:
    others = TransportError("another", url=SECOND)
    has = Places(packages=BROKEN, mirror=others, other=others)
    for _ in range(2):
        with pytest.raises(TransportError, match="nobody is there"):
            places.try_each(f"{FIRST}a", has.fetch)
    assert has.asked == 2 * [f"{FIRST}a", f"{SECOND}a", f"{THIRD}a"]
    assert [said.partition(" is passed over, and ")[0] for said in passed_over()] == [
        redact(FIRST), redact(SECOND),
    ]  # fmt: skip
    assert [one.getMessage() for one in caplog.records] == passed_over()


def test_one_that_failed_once_is_asked_before_one_that_fails_each_time(places: Mirrors) -> None:
    """Else each file would wait again for one that is silent, for as long as both are known."""
    has = Places(packages=BROKEN, other=BROKEN)
    places.try_each(f"{FIRST}a", has.fetch)
    has.errors["mirror"] = BROKEN
    with pytest.raises(TransportError):
        places.try_each(f"{FIRST}a", has.fetch)
    del has.errors["mirror"]
    has.asked.clear()
    for _ in range(2):
        assert places.try_each(f"{FIRST}a", has.fetch) == f"{SECOND}a"
    assert has.asked == 2 * [f"{SECOND}a"]


def test_where_all_fail_one_that_serves_something_else_counts_more_than_silence(
    places: Mirrors,
) -> None:
    has = Places(packages=BROKEN, mirror=VerificationError("forged"), other=BROKEN)
    with pytest.raises(VerificationError, match="forged"):
        places.try_each(f"{FIRST}a", has.fetch)


def test_what_is_no_fault_of_a_place_is_raised_at_once(places: Mirrors) -> None:
    has = Places(packages=SecurepipError("the disk is full"))
    with pytest.raises(SecurepipError, match="the disk is full"):
        places.try_each(f"{FIRST}a", has.fetch)
    assert has.asked == [f"{FIRST}a"]


@pytest.mark.parametrize("url", [f"{FIRST}below/a", "https://files.example.org/a"])
def test_a_file_of_no_mirrored_repository_has_one_place(places: Mirrors, url: str) -> None:
    has = Places(packages=BROKEN, files=BROKEN)
    for _ in range(2):
        with pytest.raises(TransportError):
            places.try_each(url, has.fetch)
    assert has.asked == [url, url]
    assert passed_over() == []


def test_it_is_said_although_little_else_is_said_of_a_build(places: Mirrors) -> None:
    handler = logging.StreamHandler(io.StringIO())
    log = logging.getLogger("securepip")
    before = log.level
    log.addHandler(handler)
    log.setLevel(logging.ERROR)
    try:
        places.try_each(f"{FIRST}a", Places(packages=BROKEN).fetch)
    finally:
        log.setLevel(before)
        log.removeHandler(handler)
    assert "is passed over" in handler.stream.getvalue()


def test_what_was_begun_at_one_place_does_not_answer_for_another(
    hostile: HostileServer, tmp_path: Path
) -> None:
    folder = hostile.folder = tmp_path / "served"
    for name in ("one", "two"):
        (folder / name).mkdir(parents=True)
        (folder / name / "x.json").write_text(name)
    with Transport(TransportOptions(retries=0)) as transport:
        fetcher = Fetcher(transport, f"{hostile.url}one/")
        fetcher.warm(f"{hostile.url}one/x.json", 3)
        fetcher.ask_at(f"{hostile.url}two/")
        assert not fetcher._early, "nobody asks for it any more"
        assert fetcher.warmed(f"{hostile.url}one/x.json") is None
        assert fetcher.download_bytes(f"{hostile.url}one/x.json", 10) == b"two"
        assert fetcher.last_url == f"{hostile.url}two/x.json"
        # What is not below the address that python-tuf knows is asked for as it is.
        assert fetcher.download_bytes(f"{hostile.url}two/x.json", 10) == b"two"
        fetcher.ask_at(f"{hostile.url}one/")
        assert fetcher.download_bytes(f"{hostile.url}one/x.json", 10) == b"one"


def test_of_two_places_the_other_is_asked_and_who_waits_for_the_first_is_told_once() -> None:
    left: list[str] = []

    class Asking:
        def drop(self, place: str) -> None:
            left.append(place)

    places, asking = Mirrors([(FIRST, (SECOND,)), (THIRD, ())]), Asking()
    places.notify(asking)
    has = Places(packages=BROKEN, other=BROKEN)
    for _ in range(2):
        places.try_each(f"{FIRST}a", has.fetch)
    assert has.asked == [f"{FIRST}a", f"{SECOND}a", f"{SECOND}a"]
    with pytest.raises(TransportError):
        places.try_each(f"{THIRD}a", has.fetch)
    assert left == [FIRST], "what has no mirror is not left"
    has.errors["mirror"] = BROKEN
    for _ in range(2):
        with pytest.raises(TransportError):
            places.try_each(f"{FIRST}a", has.fetch)
    assert left == [FIRST, SECOND]


def test_a_session_asks_the_mirrors_that_it_is_given(
    hostile: HostileServer, shared_repository: MadeRepository, tmp_path: Path
) -> None:
    hostile.withhold("gone/.*", 503)
    first = f"{hostile.url}gone/"
    root = shared_repository.root.read_bytes()
    with Transport(TransportOptions(retries=0)) as transport:
        places = Mirrors([(first, (hostile.url,))])
        session = Session("made", f"{first}metadata/", tmp_path, transport, root, places)
        session.refresh()
        assert session.target("simple/app/index.json") is not None
