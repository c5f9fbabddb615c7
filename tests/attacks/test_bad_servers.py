"""Servers that answer with errors, slowly, or not at all."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator

import pytest

from tests.attacks.refusals import SERVED, assert_explained, assert_refused
from tests.support.hostile import HostileServer, Reply
from tests.support.machine import Machine
from tests.support.patience import impatient
from tests.support.repositories import MadeRepository

FALLS_BACK = {"metadata"}
"""The files that an install does not need: the wheel has the same bytes."""


@pytest.mark.parametrize("kind", SERVED)
@pytest.mark.parametrize("status", [404, 500])
def test_a_file_that_the_server_does_not_have_is_named(
    client: Machine, hostile: HostileServer, kind: str, status: int
) -> None:
    hostile.withhold(SERVED[kind], status)
    before = client.installed()
    done = client.install("--dry-run" if kind in FALLS_BACK else "app", "app")
    if kind in FALLS_BACK:
        assert done.code == 0, done.err
        assert "Would install app-2.0 lib-1.0" in done.out
        return
    assert done.code == 1
    assert_explained(done)
    assert re.search(re.escape(hostile.url) + SERVED[kind], done.err), done.err
    assert str(status) in done.err
    assert client.installed() == before


@pytest.mark.parametrize("kind", ["timestamp", "bin", "page", "metadata", "wheel"])
def test_data_that_drips_is_given_up(
    client: Machine, hostile: HostileServer, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A slow server may take its time; one that sends next to nothing may not."""
    impatient(monkeypatch, re.escape(hostile.url) + SERVED[kind], 0.3)

    def drip(data: bytes) -> Reply:
        def pieces() -> Iterator[bytes]:
            for at in range(len(data)):
                yield data[at : at + 1]
                time.sleep(0.1)

        return pieces()

    hostile.alter(SERVED[kind], drip)
    done = client.install("app")
    if kind in FALLS_BACK:
        assert done.code == 0, done.err
        return
    assert done.code == 1
    assert_explained(done)
    assert re.search(re.escape(hostile.url) + SERVED[kind], done.err), done.err
    assert "too slowly" in done.err


def test_a_refusal_does_not_wait_for_what_else_is_under_way(
    client: Machine, hostile: HostileServer, shared_repository: MadeRepository
) -> None:
    """This runs in a new process, because its end could wait for other downloads."""
    bin_of = shared_repository.repository.roles().bin_of
    slow, ended = bin_of("packages/app/app-2.0-py3-none-any.whl"), threading.Event()
    assert slow not in (bin_of("simple/app/index.json"), bin_of("simple/lib/index.json"))

    def drip(data: bytes) -> Reply:
        def pieces() -> Iterator[bytes]:
            while not ended.wait(0.2):
                yield b" "

        return pieces()

    # The wheel is prefetched and needed late: the refusal comes before that.
    hostile.alter(rf"metadata/\d+\.{slow}\.json", drip)
    hostile.alter(SERVED["metadata"], lambda data: data + b" ")
    try:
        done = client.process("install", "--python", client.environment, "app")
    finally:
        ended.set()
    assert_refused(done, hostile, SERVED["metadata"])
    assert any(slow in path for path in hostile.seen)


@pytest.mark.parametrize("kind", ["timestamp", "bin", "page", "wheel"])
@pytest.mark.parametrize("where", ["file:///", "ftp://packages.example.org/", "itself"])
def test_a_redirect_to_where_nothing_can_be_fetched_is_an_error_in_words(
    client: Machine, hostile: HostileServer, kind: str, where: str
) -> None:
    """The redirect leads to files of this machine, or in circles."""
    hostile.redirect(SERVED[kind], hostile.url if where == "itself" else where)
    before = client.installed()
    done = client.install("app")
    assert done.code == 1, done
    assert_explained(done)
    assert re.search(re.escape(hostile.url) + SERVED[kind], done.err), done.err
    assert client.installed() == before
