"""The gateway sends no file that was not signed, and tells the tool why."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import Any

import pytest
from starlette.requests import Request

from securepip.errors import VerificationError
from securepip.formats.digests import sha256_of
from securepip.gateway.answers import FileAnswer
from securepip.gateway.web.replies import Replies
from securepip.signing.publish.remove import remove
from securepip.trust import Trust, TrustStore
from tests.attacks.signing import read_page, sign, sign_page
from tests.gateway.conftest import LIB, Running, run_gateway
from tests.support.hostile import HostileServer, flip_byte
from tests.support.repositories import MadeRepository
from tests.support.wheels import make_wheel

WHEEL = f"files/lib/{LIB}"
METADATA = f"{WHEEL}.metadata"
PAGE = "simple/lib/"


@pytest.mark.parametrize(
    ("changed", "asked"),
    [
        (r"packages/lib/.*\.whl", WHEEL),
        (r"packages/lib/.*\.metadata", METADATA),
        (r"simple/lib/.*", PAGE),
        (r"metadata/.*bin-.*", PAGE),
        (r"metadata/.*bins.*", PAGE),
        (r"metadata/.*targets.*", PAGE),
        (r"metadata/.*snapshot.*", PAGE),
        (r"metadata/timestamp.*", PAGE),
    ],
)
def test_what_was_changed_on_the_way_is_refused_with_the_reason(
    gateway: Running,
    hostile: HostileServer,
    caplog: pytest.LogCaptureFixture,
    changed: str,
    asked: str,
) -> None:
    hostile.alter(changed, flip_byte)
    with caplog.at_level(logging.WARNING, "securepip.gateway"):
        reply = gateway.get(asked)
    assert reply.status == 502
    assert "is not what" in reply.reason
    assert reply.json["kind"] == "verification"
    assert reply.json["remedy"]
    assert "is not what" in caplog.text
    assert "is not what" in gateway.get("").body.decode()
    assert b"VERSION" not in reply.body
    hostile.honest()
    assert gateway.get(asked).status == 200


@pytest.mark.parametrize(
    ("member", "says"),
    [
        ("other.egg-info", "does not belong to its project"),
        ("evil-1.0.data/data/share/securepip/trust/map.json", "whom you trust"),
    ],
)
def test_a_wheel_that_reaches_for_what_is_not_its_own_is_given_to_no_tool(
    made: MadeRepository,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    member: str,
    says: str,
) -> None:
    """A tool would install it, and the signer of one project could change others."""
    monkeypatch.setattr("site.getuserbase", lambda: str(tmp_path / "user"))
    monkeypatch.setenv("SECUREPIP_DATA_DIR", str(tmp_path / "user" / "share" / "securepip"))
    evil = make_wheel(tmp_path / "built", "evil", "1.0", files={"evil.py": "", member: ""})
    monkeypatch.setattr("securepip.signing.publish.add.check_installable", lambda *_: None)
    made.add(evil)
    TrustStore(tmp_path / "trust").add("made", made.folder.as_uri(), made.root.read_bytes())
    with run_gateway(tmp_path) as gateway:
        reply = gateway.get(f"files/evil/{evil.name}")
    assert (reply.status, reply.json["kind"]) == (502, "verification")
    assert says in str(reply.json)


def test_a_project_that_disappears_between_two_moments_is_not_unknown(
    made: MadeRepository, hostile: HostileServer, tmp_path: Path
) -> None:
    hostile.folder = made.folder
    TrustStore(tmp_path / "trust").add("made", hostile.url, made.root.read_bytes())
    with run_gateway(tmp_path, refresh_seconds=0) as gateway:
        assert gateway.get(PAGE).status == 200
        remove(made.repository, "lib")
        reply = gateway.get(PAGE)
    assert (reply.status, reply.json["kind"]) == (502, "verification")
    assert "trust forget made lib" in reply.json["remedy"]
    with run_gateway(tmp_path) as gateway:
        assert gateway.get(PAGE).status == 502
        assert gateway.get("simple/never-there/").status == 404


def test_a_tool_that_asks_again_and_again_fills_no_log(
    gateway: Running, hostile: HostileServer, caplog: pytest.LogCaptureFixture
) -> None:
    hostile.alter(r"packages/lib/.*\.whl", flip_byte)
    with caplog.at_level(logging.WARNING, "securepip.gateway"):
        for _ in range(4):
            gateway.get(WHEEL)
    assert len(caplog.records) == 1
    assert "4 times" in gateway.get("").body.decode()


@pytest.mark.parametrize("changed", [b"", b"x", b"x" * 1_000_000])
def test_not_one_byte_of_a_file_is_sent_before_all_of_it_is_verified(
    gateway: Running, hostile: HostileServer, changed: bytes
) -> None:
    hostile.alter(r"packages/lib/.*\.whl", lambda data: data + changed if changed else data[:-1])
    reply = gateway.get(WHEEL, {"Range": "bytes=0-3"})
    assert reply.status == 502
    assert not reply.body.startswith(b"PK")


def test_a_repository_that_does_not_answer_is_unavailable_and_not_an_empty_one(
    gateway: Running, hostile: HostileServer
) -> None:
    hostile.withhold("metadata/timestamp.json", 404)
    reply = gateway.get(PAGE)
    assert reply.status == 503
    assert reply.json["kind"] == "unavailable"
    assert "did not answer" in reply.reason


def test_a_file_that_its_server_has_lost_is_said_to_be(
    gateway: Running, hostile: HostileServer
) -> None:
    hostile.withhold(r"packages/lib/.*\.whl", 404)
    reply = gateway.get(WHEEL)
    assert reply.status == 502
    assert "the server answers 404" in reply.reason


def test_metadata_that_a_mirror_has_not_got_is_read_from_the_verified_file(
    gateway: Running, hostile: HostileServer
) -> None:
    hostile.withhold(r"packages/lib/.*\.metadata", 404)
    reply = gateway.get(METADATA)
    assert reply.status == 200
    assert b"Name: lib" in reply.body


@pytest.mark.parametrize("tool", ["pip/26.3 {}", "pip/23.0 {}", "pdm/2.26 CPython/3.12"])
def test_a_tool_that_would_take_an_older_release_gets_an_error_that_ends_it(
    gateway: Running, hostile: HostileServer, tool: str
) -> None:
    """``test_tools`` tests the same with real pips."""
    hostile.alter(r"simple/lib/.*", flip_byte)
    reply = gateway.get(PAGE, {"User-Agent": tool})
    assert reply.status in (502, 590)
    assert "is not what was signed" in reply.headers["content-encoding"]
    assert reply.headers["content-encoding"].endswith(", gzip")
    assert reply.headers["content-encoding"].count(",") == 1
    assert not reply.body.startswith(b"\x1f\x8b")


def test_pip_gets_an_error_of_a_file_that_it_does_not_try_again(
    gateway: Running, hostile: HostileServer
) -> None:
    hostile.alter(r"packages/lib/.*\.whl", flip_byte)
    reply = gateway.get(WHEEL, {"User-Agent": "pip/26.3"})
    assert reply.status == 590
    assert "is not what was signed" in reply.reason


def test_a_defect_of_ours_is_told_in_words_and_sends_nothing(
    gateway: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(self: object) -> Trust:
        raise ZeroDivisionError("by zero")

    monkeypatch.setattr("securepip.index.verified.VerifiedIndex.fetch_signed", broken)
    reply = gateway.get(WHEEL)
    assert reply.status == 502
    assert "securepip itself failed" in reply.reason


@pytest.mark.parametrize("tool", ["pip/26.3", "uv/0.9"])
def test_what_a_server_puts_into_a_reason_breaks_no_answer(
    gateway: Running, monkeypatch: pytest.MonkeyPatch, tool: str
) -> None:
    def failing(self: object, project: object) -> None:
        raise VerificationError("a\x1b[31m\r\nX-Evil: 1\x00 ü \x7f, b" + "x" * 10_000)

    monkeypatch.setattr("securepip.index.verified.VerifiedIndex.signed_page", failing)
    reply = gateway.get(PAGE, {"User-Agent": tool})
    assert reply.status in (502, 590)
    assert "x-evil" not in reply.headers
    assert reply.reason.startswith(r"a\x1b[31m\r X-Evil: 1\x00 ? \x7f, b")
    assert len(reply.reason) <= 300
    # Tools print the text as it is.
    assert all(each.isprintable() or each == "\n" for each in reply.json["detail"])


def test_who_is_not_trusted_any_more_is_not_believed_any_more(
    gateway: Running, tmp_path: Path, shared_repository: MadeRepository, hostile: HostileServer
) -> None:
    with run_gateway(tmp_path / "gateway", refresh_seconds=0.0) as running:
        assert running.get(WHEEL).status == 200
        running.trust.remove("made")
        reply = running.get(WHEEL)
        assert reply.status == 503
        assert "trusts no package repository" in reply.reason


def test_a_file_that_another_repository_signed_for_another_project_is_not_served_for_this_one(
    gateway: Running,
) -> None:
    assert gateway.get("files/other/lib-1.0-py3-none-any.whl").status == 404
    assert gateway.get("files/app/lib-1.0-py3-none-any.whl").status == 404


@pytest.mark.parametrize("lie", ["other metadata", "another project"])
def test_a_file_that_was_looked_into_is_looked_into_again_when_more_is_said_of_it(
    made: MadeRepository, hostile: HostileServer, tmp_path: Path, lie: str
) -> None:
    """Its bytes are the same, but other metadata is signed now."""
    hostile.folder = made.folder
    TrustStore(tmp_path / "trust").add("made", hostile.url, made.root.read_bytes())
    with run_gateway(tmp_path, refresh_seconds=0) as gateway:
        assert gateway.get(WHEEL).status == 200
        page, name = read_page(made, "lib"), LIB
        (file,) = page["files"]
        if lie == "other metadata":
            file["core-metadata"] = {"sha256": "0" * 64}
        else:
            page, name = read_page(made, "other"), LIB.replace("lib", "other")
            del file["core-metadata"]
            page["files"] = [{**file, "filename": name, "url": f"../../packages/other/{name}"}]
            data = (made.folder / "packages" / "lib" / LIB).read_bytes()
            sign(made, {f"packages/other/{name}": data})
        sign_page(made, page["name"], page)
        reply = gateway.get(f"files/{page['name']}/{name}")
    assert (reply.status, reply.json["kind"]) == (502, "verification")


def test_a_file_that_was_changed_in_the_store_since_it_was_sent_is_not_sent_again(
    gateway: Running, tmp_path: Path
) -> None:
    """A file that this process has hashed is hashed again only if it is another file."""
    right = gateway.get(WHEEL).body
    stored = [path for path in (tmp_path / "gateway" / "store").rglob("*") if path.is_file()]
    changed = [path for path in stored if path.read_bytes() == right]
    assert changed
    for path in changed:
        path.chmod(0o600)
        path.write_bytes(right[:-1] + b"x")
    assert gateway.get(WHEEL).body == right


@pytest.mark.parametrize("with_sidecar", [True, False], ids=["sidecar", "no sidecar"])
def test_a_release_that_requires_an_address_is_sent_in_no_form(
    made: MadeRepository, hostile: HostileServer, tmp_path: Path, with_sidecar: bool
) -> None:
    """Nobody signs the file at a URL, and a tool would fetch it past the gateway."""
    address = "evil @ https://packages.example.org/evil-1.0-py3-none-any.whl"
    made.add(make_wheel(tmp_path / "built", "app", "3.0", requires=[address]))
    hostile.folder = made.folder
    if not with_sidecar:
        hostile.withhold(r"packages/app/.*\.metadata", 404)
    TrustStore(tmp_path / "trust").add("made", hostile.url, made.root.read_bytes())
    for asked in ("", ".metadata"):
        with run_gateway(tmp_path) as gateway:  # which has opened no wheel yet
            reply = gateway.get(f"files/app/app-3.0-py3-none-any.whl{asked}")
            assert "an address that nobody signs" in reply.reason
            assert gateway.get(f"files/app/app-2.0-py3-none-any.whl{asked}").status == 200


def test_a_file_that_goes_away_between_its_check_and_its_opening_is_answered_in_words(
    tmp_path: Path,
) -> None:
    """Somebody empties the cache: the gateway has not yet sent any part of the answer."""
    path = tmp_path / "file"
    path.write_bytes(b"data")
    request = Request({"type": "http", "method": "GET", "headers": [], "path": "/"})
    reply = Replies().send(request, FileAnswer("file", path, sha256_of(b"data"), 4))
    path.unlink()
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.request"}

    async def send(message: Any) -> None:
        sent.append(message)

    asyncio.run(reply({**request.scope, "asgi": {"spec_version": "2.4"}}, receive, send))
    assert [message["type"] for message in sent] == ["http.response.start", "http.response.body"]
    assert sent[0]["status"] == 503
    assert b"empties the cache" in sent[1]["body"]
