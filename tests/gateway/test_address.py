"""A user's tools find the running gateway, and no other program in its place."""

from __future__ import annotations

import json
import os
import stat
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest

from securepip.gateway import address
from securepip.gateway.address import announced, running


@pytest.fixture
def asked() -> list[str]:
    """The paths of a server's requests."""
    return []


@pytest.fixture
def server(asked: list[str]) -> HTTPServer:
    """Answers paths below /token/ with 200, and all others with 404."""

    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            asked.append(self.path)
            self.send_response(200 if self.path.startswith("/token/") else 404)
            self.end_headers()

        def log_message(self, *words: object) -> None:
            pass

    return HTTPServer(("127.0.0.1", 0), Handler)


@pytest.fixture
def url(server: HTTPServer) -> str:
    """The URL of a running gateway."""
    Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    return f"http://127.0.0.1:{server.server_port}/token/"


def test_a_gateway_that_runs_is_found_by_its_user_alone_and_not_afterwards(
    tmp_path: Path, url: str
) -> None:
    folder = tmp_path / "gateways"
    assert running(folder) is None
    with announced(folder, url) as path:
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert path.name == f"{os.getpid()}.json"
        assert running(folder) == url
        assert path.exists()
    assert list(folder.iterdir()) == []
    assert running(folder) is None
    (folder / f"{os.getpid()}.json").write_text("of an earlier process of this number")
    with announced(folder, url) as path:
        assert running(folder) == url
        path.unlink()
    (folder / "gone.json").symlink_to(folder / "nowhere")
    assert running(folder) is None


def test_the_file_of_one_that_ends_is_held_until_it_is_gone(
    tmp_path: Path, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A client that finds the file waits, and then sees that it is unlocked and deleted."""
    held, unlink = [], Path.unlink

    def looked_at(path: Path, **options: bool) -> None:
        with path.open("rb") as stream:
            held.append(address._is_held(stream))
        unlink(path, **options)

    with announced(tmp_path, url):
        monkeypatch.setattr(Path, "unlink", looked_at)
    assert held == [True]


def test_whoever_took_the_port_of_one_that_was_killed_is_not_told_its_token(
    tmp_path: Path, url: str, asked: list[str]
) -> None:
    """The process and the lock of its file are gone; any user may have its port now."""
    left = tmp_path / "1.json"
    left.write_text(json.dumps({"url": url, "pid": 1}))
    assert running(tmp_path) is None
    assert asked == []
    assert not left.exists()


@pytest.mark.parametrize("path", ["other/", None])
def test_one_that_does_not_answer_to_its_token_is_none(
    tmp_path: Path, server: HTTPServer, url: str, path: str | None
) -> None:
    if path is None:
        server.shutdown()
        server.server_close()
    with announced(tmp_path, url if path is None else url.replace("token/", path)):
        assert running(tmp_path) is None


def test_one_that_is_slow_just_now_is_found_when_it_answers_again(
    tmp_path: Path, server: HTTPServer, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with announced(tmp_path, url):
        with monkeypatch.context() as busy:
            busy.setattr("securepip.gateway.address._answers", lambda url: False)
            assert running(tmp_path) is None
        assert running(tmp_path) == url


def test_the_newest_of_several_is_found(
    tmp_path: Path, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with announced(tmp_path, f"{url}old") as old:
        os.utime(old, (1, 1))
        monkeypatch.setattr("securepip.gateway.address.os.getpid", lambda: 2)
        with announced(tmp_path, f"{url}new"):
            assert running(tmp_path) == f"{url}new"
        assert running(tmp_path) == f"{url}old"


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"url": "http://[::1"}', '{"url": "nowhere"}', "\x00"]
)
def test_a_damaged_announcement_is_passed_over(tmp_path: Path, url: str, text: str) -> None:
    with announced(tmp_path, url) as path:
        path.write_text(text)
        assert running(tmp_path) is None
