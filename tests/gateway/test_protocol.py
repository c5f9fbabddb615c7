"""The simple API for tools, and requests from others, which are refused."""

from __future__ import annotations

import socket
from hashlib import sha256
from pathlib import Path

import pytest

from tests.gateway.conftest import JSON, LIB, Running, run_gateway
from tests.support.repositories import MadeRepository

APP = "files/app/app-2.0-py3-none-any.whl"


@pytest.fixture
def wheel(shared_repository: MadeRepository) -> bytes:
    return (shared_repository.folder / "packages/app/app-2.0-py3-none-any.whl").read_bytes()


def test_a_page_has_the_signed_files_at_addresses_of_the_gateway(
    gateway: Running, wheel: bytes
) -> None:
    page = gateway.page("app")
    assert page["name"] == "app"
    newest = page["files"][1]
    assert newest["url"] == f"../../{APP}"
    assert newest["hashes"] == {"sha256": sha256(wheel).hexdigest()}
    assert newest["size"] == len(wheel)
    assert set(newest["core-metadata"]) == {"sha256"}
    assert "upload-time" in newest


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [
        (JSON, JSON),
        (f"{JSON}, text/html;q=0.1", JSON),
        ("application/vnd.pypi.simple.latest+json", JSON),
        (
            "application/vnd.pypi.simple.v1+html",
            "application/vnd.pypi.simple.v1+html",
        ),
        ("text/html", "text/html; charset=utf-8"),
        ("", "text/html; charset=utf-8"),
        (f"{JSON};q=0.1, text/html", "text/html; charset=utf-8"),
    ],
)
def test_a_page_is_sent_in_the_form_that_the_tool_asks_for(
    gateway: Running, accept: str, content_type: str
) -> None:
    reply = gateway.get("simple/lib/", {"Accept": accept})
    assert reply.status == 200
    assert reply.headers["content-type"] == content_type
    assert reply.headers["vary"] == "Accept"
    assert f"../../files/lib/{LIB}".encode() in reply.body


def test_a_name_that_is_not_normalized_leads_to_the_one_that_is(gateway: Running) -> None:
    for path in ("simple/Lib/", "simple/lib", "simple/LIB"):
        reply = gateway.get(path)
        assert reply.status == 301
        where = reply.headers["location"]
        seen = gateway.get(where)
        assert seen.status in (200, 301)
        assert where.lower().endswith("/simple/lib/")


def test_a_file_and_its_metadata_are_sent_as_signed(gateway: Running, wheel: bytes) -> None:
    assert gateway.get(APP).body == wheel
    metadata = gateway.get(f"{APP}.metadata")
    assert b"Requires-Dist: lib" in metadata.body
    said = gateway.page("app")["files"][1]["core-metadata"]["sha256"]
    assert sha256(metadata.body).hexdigest() == said


def test_what_a_tool_has_already_is_not_sent_again(gateway: Running) -> None:
    for path in (APP, f"{APP}.metadata", "simple/app/"):
        tag = gateway.get(path).headers["etag"]
        again = gateway.get(path, {"If-None-Match": f'"other", {tag}'})
        assert (again.status, again.body) == (304, b"")
        assert again.headers["etag"] == tag
        assert gateway.get(path, {"If-None-Match": '"other"'}).status == 200


def test_head_says_what_get_would_send(gateway: Running, wheel: bytes) -> None:
    reply = gateway.get(APP, method="HEAD")
    assert (reply.status, reply.body) == (200, b"")
    assert reply.headers["content-length"] == str(len(wheel))
    assert reply.headers["accept-ranges"] == "bytes"


def test_parts_of_a_file_are_sent(gateway: Running, wheel: bytes) -> None:
    part = gateway.get(APP, {"Range": "bytes=10-19"})
    assert (part.status, part.body) == (206, wheel[10:20])
    assert part.headers["content-range"] == f"bytes 10-19/{len(wheel)}"
    assert gateway.get(APP, {"Range": "bytes=-5"}).body == wheel[-5:]
    assert gateway.get(APP, {"Range": f"bytes={len(wheel)}-"}).status == 416
    other = gateway.get(APP, {"Range": "bytes=0-1", "If-Range": '"other"'})
    assert (other.status, other.body) == (200, wheel)


def test_a_connection_serves_several_requests(gateway: Running) -> None:
    connection = gateway.connect()
    for path in ("simple/app/", APP, "simple/nobody/", f"{APP}.metadata"):
        gateway.get(path, connection=connection)
        assert connection.sock is not None


@pytest.mark.parametrize(
    "path",
    [
        "simple/nobody/",
        "files/nobody/nobody-1.0.tar.gz",
        "files/app/app-9.0-py3-none-any.whl",
        "files/app/app-9.0-py3-none-any.whl.metadata",
        "simple/",
        "simple/%2e%2e/",
        "simple/not a name!/".replace(" ", "%20"),
        "files/app/..%2f..%2ftrust%2fmap.json",
        "files/app/%00",
        "elsewhere",
    ],
)
def test_what_nobody_signed_is_not_found(gateway: Running, path: str) -> None:
    assert gateway.get(path).status == 404


def test_an_unknown_project_is_not_found_and_the_reason_is_said(gateway: Running) -> None:
    reply = gateway.get("simple/nobody/")
    assert reply.reason == "no trusted repository knows the project nobody"
    assert reply.headers["content-type"] == "application/problem+json"
    assert "securepip trust list" in reply.json["detail"]


def test_a_person_sees_what_the_gateway_is(gateway: Running) -> None:
    gateway.get(APP)
    shown = gateway.get("").body.decode()
    assert "made (http://127.0.0.1" in shown
    assert "1 file" in shown


def test_the_status_page_runs_nothing_that_a_server_says(gateway: Running) -> None:
    gateway.get("simple/%3Cscript%3E/")
    reply = gateway.get("")
    assert b"<script>" not in reply.body
    assert "default-src 'none'" in reply.headers["content-security-policy"]
    assert reply.headers["x-content-type-options"] == "nosniff"


def test_without_the_token_nothing_is_answered(gateway: Running) -> None:
    assert gateway.get(f"/{'x' * 43}/simple/app/").status == 404
    assert gateway.get("/simple/app/").status == 404
    greeting = gateway.get("/")
    assert greeting.status == 200
    assert b"made" not in greeting.body


def test_a_web_page_whose_name_was_made_to_lead_here_gets_nothing(gateway: Running) -> None:
    port = gateway.host.rpartition(":")[2]
    for host in (
        "evil.example",
        f"evil.example:{port}",
        "127.0.0.1:1",
        "127.0.0.1",
        f"[::1]:{port}",
    ):
        reply = gateway.get("simple/app/", {"Host": host})
        assert reply.status == 421
        assert b"app-1.0" not in reply.body
    assert gateway.get("simple/app/", {"Host": f"localhost:{port}"}).status == 200


def test_two_hosts_in_one_request_are_no_host(gateway: Running) -> None:
    path = gateway.url.partition(gateway.host)[2]
    with socket.create_connection(("127.0.0.1", int(gateway.host.rpartition(":")[2]))) as raw:
        raw.settimeout(10)
        raw.sendall(
            f"GET {path} HTTP/1.1\r\nHost: {gateway.host}\r\nHost: evil.example\r\n"
            "Connection: close\r\n\r\n".encode()
        )
        assert raw.recv(100).split()[1] in (b"400", b"421")


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS"])
def test_only_reading_is_allowed(gateway: Running, method: str) -> None:
    reply = gateway.get("simple/app/", method=method)
    assert reply.status == 405
    assert reply.headers["allow"] == "GET, HEAD"


def test_a_stable_address_has_no_token_and_checks_the_host_all_the_same(
    gateway: Running, tmp_path: Path
) -> None:
    with run_gateway(tmp_path / "gateway", with_token=False) as stable:
        assert stable.url == f"http://{stable.host}/"
        assert stable.get("simple/app/").status == 200
        assert stable.get("simple/app/", {"Host": "evil.example"}).status == 421
