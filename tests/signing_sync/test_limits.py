"""What an index, or who stands between, may cost a sync: time, memory, and no detours."""

from __future__ import annotations

import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from securepip.errors import TransportError
from securepip.signing.overlay.upstream import fetch
from securepip.signing.overlay.upstream.pip_configuration import read_pip_configuration
from securepip.transport import Transport, TransportOptions
from tests.signing_sync.conftest import Sync, let_the_time_be_over
from tests.support.hostile import make_certificate, running, serve_hostile
from tests.support.indexes import Index
from tests.support.repositories import MadeRepository
from tests.support.wheels import make_wheel


@contextmanager
def redirecting(to: dict[str, str], certificate: Path | None) -> Iterator[tuple[str, list[str]]]:
    """Yields the URL of a server, over TLS or not, and the paths that it was asked for."""
    seen: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            seen.append(self.path)
            self.send_response(302 if self.path in to else 200)
            self.send_header("Location", to.get(self.path, ""))
            self.send_header("Content-Length", "4")
            self.end_headers()
            self.wfile.write(b"page")

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 # its name there
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            server.socket = context.wrap_socket(server.socket, server_side=True)
        server.daemon_threads = True
        with running(server):
            scheme = "http" if certificate is None else "https"
            yield f"{scheme}://127.0.0.1:{server.server_port}", seen


def test_a_detour_over_an_unencrypted_connection_is_not_taken_even_if_it_comes_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
    certificate = make_certificate(tmp_path)
    detour: dict[str, str] = {}
    back: dict[str, str] = {}
    with (
        redirecting(detour, certificate) as (index, _),
        redirecting(back, None) as (between, seen),
    ):
        detour["/simple/app/"] = f"{between}/anything"
        back["/anything"] = f"{index}/simple/evil/"
        options = TransportOptions(retries=0, cert=str(certificate))
        # What there is to be stopped: the last address is an encrypted one.
        answer = Transport(options).get(f"{index}/simple/app/", max_bytes=9)
        assert answer.url == f"{index}/simple/evil/"
        seen.clear()
        strict = TransportOptions(retries=0, cert=str(certificate), stay_encrypted=True)
        with pytest.raises(TransportError, match="not encrypted"):
            Transport(strict).get(f"{index}/simple/app/", max_bytes=9)
        assert seen == []
        detour["/simple/app/"] = f"{index}/elsewhere/"
        assert Transport(strict).get(f"{index}/simple/app/", max_bytes=9).body == b"page"


def test_a_sync_stays_encrypted_and_bounds_the_time_of_each_answer() -> None:
    options = read_pip_configuration(["https://packages.example.org/simple/"]).transport
    assert options.stay_encrypted
    assert options.answer_seconds <= 600


def test_an_answer_that_drips_ends_in_time_however_long_it_may_be(tmp_path: Path) -> None:
    def drip(data: bytes) -> Iterator[bytes]:
        while True:
            time.sleep(0.05)
            yield b"x"

    options = TransportOptions(retries=0, answer_seconds=0.3)
    with serve_hostile(tmp_path) as server:
        server.alter("page", drip)
        with pytest.raises(TransportError, match="too slowly"):
            Transport(options).get(f"{server.url}page", max_bytes=1 << 30)


def test_a_sync_ends_in_time_and_signs_what_was_read_until_then(
    index: Index,
    overlay: MadeRepository,
    run: Sync,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each answer comes in good time; it is their number that would take for ever."""
    projects = [f"app{number}" for number in range(48)]
    index.offer(*(make_wheel(tmp_path, each, "1.0") for each in projects))
    with monkeypatch.context() as ending:
        let_the_time_be_over(ending)
        report = run(*projects)
    assert 0 < len(report.signed) < len(projects)
    assert overlay.repository.projects() == report.signed
    late = {problem.project for problem in report.problems}
    assert late == set(projects) - set(report.signed)
    assert len(run(*projects).signed) == len(late)


def test_long_pages_are_read_one_at_a_time_and_no_answer_is_kept(
    index: Index, run: Sync, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    projects = [f"app{number}" for number in range(8)]
    index.offer(*(make_wheel(tmp_path, each, "1.0") for each in projects))
    long_pages: list[int] = []
    most: list[int] = []
    get = Transport.get

    def watched(self: Transport, url: str, *, max_bytes: int, **rest: object) -> object:
        if max_bytes <= 100 or url.endswith(".metadata"):
            return get(self, url, max_bytes=max_bytes, **rest)  # type: ignore[arg-type] # as given
        long_pages.append(1)
        most.append(len(long_pages))
        try:
            return get(self, url, max_bytes=max_bytes, **rest)  # type: ignore[arg-type] # as given
        finally:
            long_pages.pop()

    monkeypatch.setattr(Transport, "get", watched)
    monkeypatch.setattr(fetch, "USUAL_PAGE_BYTES", 100)
    assert run(*projects).signed == projects
    assert most == [1] * len(projects)
