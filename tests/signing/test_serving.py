"""``repo serve``: the files that it serves and those that it does not, and their headers."""

from __future__ import annotations

import gzip
import http.client
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from queue import SimpleQueue
from typing import Any
from urllib.parse import urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from securepip.errors import RepositoryStateError
from securepip.formats.page import HTML_TYPE, JSON_TYPE
from securepip.signing.publish.serve import RepositoryServer
from tests.support.repositories import MadeRepository, make_repository, serve
from tests.support.wheels import make_wheel

_WHEEL = "/packages/flask/flask-3.0-py3-none-any.whl"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> MadeRepository:
    """A repository with a link and files that no repository has."""
    folder = tmp_path_factory.mktemp("serving")
    data = os.urandom(300_000)
    wheel = make_wheel(folder, "Flask", "3.0", files={"flask/data": data})
    made = make_repository(folder / "repository", wheel, make_wheel(folder, "a.b", "1.0"))
    (folder / "secret").write_text("secret")
    (made.folder / "packages" / "outside").symlink_to(folder)
    (made.folder / "metadata" / ".hidden").write_text("secret")
    return made


@pytest.fixture(scope="module")
def url(made: MadeRepository) -> Iterator[str]:
    with serve(made.folder) as url:
        yield url


class Got:
    """An answer, with its body as it was sent."""

    def __init__(self, answer: http.client.HTTPResponse) -> None:
        self.status = answer.status
        self.headers = answer.headers
        self.body = answer.read()


@pytest.fixture(scope="module")
def connection(url: str) -> Iterator[http.client.HTTPConnection]:
    """One connection for all tests: if a request broke it, the next test would fail."""
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=60)
    yield connection
    connection.close()


def ask(
    connection: http.client.HTTPConnection, path: str, method: str = "GET", **headers: str
) -> Got:
    connection.request(method, path, headers={k.replace("_", "-"): v for k, v in headers.items()})
    return Got(connection.getresponse())


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        ("", "text/html; charset=utf-8"),
        ("*/*", "text/html; charset=utf-8"),
        ("text/html", "text/html; charset=utf-8"),
        (JSON_TYPE, JSON_TYPE),
        (HTML_TYPE, HTML_TYPE),
        (f"{JSON_TYPE}, {HTML_TYPE}; q=0.1, text/html; q=0.01", JSON_TYPE),
        (f"{JSON_TYPE}; q=0.1, {HTML_TYPE}; q=0.9", HTML_TYPE),
        (f"{JSON_TYPE}; q=0, text/html", "text/html; charset=utf-8"),
        ("application/vnd.pypi.simple.latest+json", JSON_TYPE),
    ],
)
@pytest.mark.parametrize("path", ["/simple/", "/simple/flask/"])
def test_pages_come_in_the_form_that_is_asked_for(
    connection: http.client.HTTPConnection, accept: str, expected: str, path: str
) -> None:
    got = ask(connection, path, Accept=accept)
    assert (got.status, got.headers["Content-Type"]) == (200, expected)
    assert got.body.startswith(b"{" if expected == JSON_TYPE else b"<!DOCTYPE html>")
    assert "Accept" in got.headers["Vary"]


@pytest.mark.parametrize(
    ("path", "location"),
    [
        ("/simple", "/simple/"),
        ("/simple/flask", "/simple/flask/"),
        ("/simple/Flask/", "/simple/flask/"),
        ("/simple/a.b", "/simple/a-b/"),
        ("/simple/a__b/", "/simple/a-b/"),
    ],
)
def test_names_are_normalized_by_redirect(
    connection: http.client.HTTPConnection, path: str, location: str
) -> None:
    got = ask(connection, path)
    assert (got.status, got.headers["Location"]) == (301, location)


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "//",
        "/state/config.json",
        "/metadata",
        "/metadata/",
        "/metadata/../state/config.json",
        "/metadata/%2e%2e/state/config.json",
        "/metadata/..%2fstate%2fconfig.json",
        "/metadata/..\\state\\config.json",
        "/metadata/.hidden",
        "/packages//etc/passwd",
        "/packages/flask",
        "/packages/flask/",
        "/packages/outside/secret",
        "/packages/flask/%00",
        "/packages/flask/%ff",
        "/simple/unknown/",
        "/simple/-/",
        "/simple/%2e%2e/",
        "/simple//flask/",
        "//example.org/simple/flask",
        "/simple/flask/index.json/",
        "metadata/timestamp.json",
    ],
)
def test_nothing_else_is_served(connection: http.client.HTTPConnection, path: str) -> None:
    assert ask(connection, path).status == 404


@settings(max_examples=100)
@given(path=st.text(st.sampled_from("/.%2eEfFstate\\simple-packages:metadata"), max_size=40))
def test_no_path_leads_out_or_breaks_the_server(
    connection: http.client.HTTPConnection, path: str
) -> None:
    got = ask(connection, f"/{path}")
    assert got.status in (200, 301, 404)
    assert b"online" not in got.body


def test_metadata_and_pages_are_compressed_when_asked(
    connection: http.client.HTTPConnection,
) -> None:
    for path in ("/metadata/1.root.json", "/simple/flask/index.html"):
        plain = ask(connection, path)
        small = ask(connection, path, Accept_Encoding="gzip, br")
        assert small.headers["Content-Encoding"] == "gzip"
        assert gzip.decompress(small.body) == plain.body
        assert len(small.body) < len(plain.body)
        assert small.headers["ETag"] != plain.headers["ETag"]
        assert "Content-Encoding" not in ask(connection, path, Accept_Encoding="gzip;q=0").headers
    wheel = ask(connection, _WHEEL, Accept_Encoding="gzip")
    assert "Content-Encoding" not in wheel.headers


def test_head_says_what_get_would(connection: http.client.HTTPConnection) -> None:
    for path in ("/metadata/1.root.json", "/simple/flask/", _WHEEL, "/simple/unknown/"):
        for encoding in ("identity", "gzip"):
            got = ask(connection, path, Accept_Encoding=encoding)
            head = ask(connection, path, "HEAD", Accept_Encoding=encoding)
            assert head.body == b""
            assert head.status == got.status
            assert head.headers["Content-Length"] == str(len(got.body))


def test_what_the_client_has_is_not_sent_again(
    made: MadeRepository, connection: http.client.HTTPConnection
) -> None:
    first = ask(connection, "/metadata/timestamp.json")
    etag = first.headers["ETag"]
    again = ask(connection, "/metadata/timestamp.json", If_None_Match=f'"x", {etag}')
    assert (again.status, again.body) == (304, b"")
    with made.repository.lock():
        made.repository.renew_timestamp()
    assert ask(connection, "/metadata/timestamp.json", If_None_Match=etag).status == 200


@pytest.mark.parametrize(
    ("asked", "start", "end"), [("0-9", 0, 10), ("100-", 100, None), ("-7", -7, None)]
)
def test_a_part_of_a_file_can_be_asked_for(
    made: MadeRepository,
    connection: http.client.HTTPConnection,
    asked: str,
    start: int,
    end: int | None,
) -> None:
    data = (made.folder / _WHEEL.lstrip("/")).read_bytes()
    got = ask(connection, _WHEEL, Range=f"bytes={asked}")
    assert (got.status, got.body) == (206, data[start:end])
    assert got.headers["Content-Range"].endswith(f"/{len(data)}")


def test_a_part_that_is_not_there_or_makes_no_sense_is_no_part(
    made: MadeRepository, connection: http.client.HTTPConnection
) -> None:
    size = len((made.folder / _WHEEL.lstrip("/")).read_bytes())
    assert ask(connection, _WHEEL, Range=f"bytes={size}-").status == 416
    assert ask(connection, _WHEEL, Range="bytes=-0").status == 416
    for odd in ("bytes=-", "bytes=9-1", "bytes=0-1,3-4", "lines=1-2"):
        assert len(ask(connection, _WHEEL, Range=odd).body) == size
    assert ask(connection, _WHEEL, Range="bytes=0-9", If_Range='"old"').status == 200


def test_other_methods_are_refused(url: str) -> None:
    for method in ("POST", "PUT", "DELETE"):
        connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=60)
        assert ask(connection, "/metadata/timestamp.json", method).status == 501
        connection.close()


@pytest.mark.parametrize(
    "headers",
    [
        "Content-Length: 47",
        "Content-Length: 0\r\nContent-Length: 47",
        "Content-Length : 47",
        "Transfer-Encoding : chunked",
        "no header\r\nContent-Length: 47",
        " Content-Length: 47",
        "From Content-Length: 47",
        "X: one\r\n two\r\nContent-Length: 47",
        "X: one\r\r\nContent-Length: 47",
        "Content-Type: multipart/mixed\r\nno header\r\nContent-Length: 47",
        "Content-Type: multipart/mixed; boundary=a\r\n--a--\r\nContent-Length: 47",
    ],
)
def test_no_part_of_a_request_is_taken_for_the_next_one(url: str, headers: str) -> None:
    """Behind a proxy, the next request may be from somebody else, with a token in it."""
    smuggled = "GET /metadata/1.root.json HTTP/1.1\r\nHost: a\r\n\r\n"
    sent = f"GET /metadata/timestamp.json HTTP/1.1\r\n{headers}\r\n\r\n{smuggled}"
    parts = urlsplit(url)
    with socket.create_connection((parts.hostname or "", parts.port or 0), 60) as connection:
        connection.sendall(sent.encode())
        with connection.makefile("rb") as answers:
            assert answers.read().count(b"HTTP/1.1 ") == 1  # and the connection is closed


@pytest.mark.parametrize("end", ["\r", "\n"])
def test_a_line_ends_for_this_server_as_for_a_proxy_or_not_at_all(url: str, end: str) -> None:
    parts = urlsplit(url)
    with socket.create_connection((parts.hostname or "", parts.port or 0), 60) as connection:
        connection.sendall(
            f"GET /metadata/timestamp.json HTTP/1.1\r\nX: a{end}Y: b\r\n\r\n".encode()
        )
        with connection.makefile("rb") as answers:
            assert answers.read().startswith(b"HTTP/1.1 400 ")


def test_small_answers_wait_for_no_acknowledgement(made: MadeRepository) -> None:
    """With Nagle's algorithm and delayed acknowledgements, each answer would take 40 ms."""
    seen: SimpleQueue[int] = SimpleQueue()

    class Watched(RepositoryServer):
        def shutdown_request(self, request: Any) -> None:
            seen.put(request.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
            super().shutdown_request(request)

    with Watched(made.folder) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        connection = http.client.HTTPConnection(urlsplit(server.url).netloc, timeout=60)
        ask(connection, "/metadata/timestamp.json")
        connection.close()
        assert seen.get(timeout=60)
        server.shutdown()


def test_the_command_says_where_it_serves_and_ends_when_told(made: MadeRepository) -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        command = [sys.executable, "-m", "securepip", "repo", "serve", str(made.folder)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            line = process.stdout.readline()
            match = re.fullmatch(r"Serving .* at http://127\.0\.0\.1:(\d+)/\n", line)
            assert match, line
            socket.create_connection(("127.0.0.1", int(match[1])), timeout=60).close()
            process.send_signal(number)
            assert process.wait(timeout=60) == 0


def test_a_folder_that_is_no_repository_or_a_port_in_use_is_an_error(
    made: MadeRepository, tmp_path: Path, url: str
) -> None:
    with pytest.raises(RepositoryStateError, match="not a repository"):
        RepositoryServer(tmp_path)
    with pytest.raises(RepositoryStateError, match="cannot listen"):
        RepositoryServer(made.folder, port=urlsplit(url).port or 0)
