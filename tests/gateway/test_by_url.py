"""The plugin's requests: the file that pip would have fetched from a URL, or a refusal."""

from __future__ import annotations

from hashlib import md5, sha256, sha512
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from securepip import last_run
from securepip.gateway.by_url import RefusedError, parse, refusal
from securepip.trust import TrustStore
from tests.gateway.conftest import DEFAULT_INDEX, LIB, Running, run_gateway
from tests.support.begun import all_answered
from tests.support.hostile import HostileServer, flip_byte, serve_hostile
from tests.support.repositories import MadeRepository, make_repository
from tests.support.wheels import make_wheel


@pytest.fixture
def wheel(shared_repository: MadeRepository) -> bytes:
    return (shared_repository.folder / f"packages/lib/{LIB}").read_bytes()


def test_a_page_of_a_trusted_index_has_the_signed_addresses(
    gateway: Running, hostile: HostileServer
) -> None:
    for index in (f"{hostile.url}simple/lib/", f"{hostile.url}simple/lib", f"{DEFAULT_INDEX}/lib/"):
        reply = gateway.by_url(index)
        assert reply.status == 200
        (file,) = reply.json["files"]
        assert file["url"] == f"{hostile.url}packages/lib/{LIB}"


def test_a_name_and_password_are_of_no_account_and_come_back_nowhere(
    gateway: Running, hostile: HostileServer
) -> None:
    url = hostile.url.replace("//", "//user:secret@")
    reply = gateway.by_url(f"{url}simple/lib/")
    assert reply.status == 200
    assert b"secret" not in reply.body
    assert gateway.by_url(f"{url}packages/lib/{LIB}").status == 200
    refused = gateway.by_url("https://user:secret@elsewhere.example.org/simple/lib/")
    assert refused.status == 403
    assert b"secret" not in refused.body


def test_a_file_is_known_by_the_address_on_its_signed_page(
    gateway: Running, hostile: HostileServer, wheel: bytes
) -> None:
    url = f"{hostile.url}packages/lib/{LIB}"
    assert gateway.by_url(url).body == wheel
    assert gateway.by_url(f"{url}#sha256=0").body == wheel
    assert b"Name: lib" in gateway.by_url(f"{url}.metadata").body
    # As pip writes the URL.
    assert gateway.by_url(url.replace("-py3", "%2Dpy3")).body == wheel


def test_a_changed_file_is_refused(gateway: Running, hostile: HostileServer) -> None:
    hostile.alter("packages/lib/.*", flip_byte)
    reply = gateway.by_url(f"{hostile.url}packages/lib/{LIB}")
    assert (reply.status, reply.json["kind"]) == (502, "verification")
    last = last_run.read_last_run()
    assert last is not None
    assert (last.command, last.exit_code) == ("gateway", 3)
    assert LIB in last.what


def test_an_unknown_project_is_not_found(gateway: Running, hostile: HostileServer) -> None:
    reply = gateway.by_url(f"{hostile.url}simple/nobody/")
    assert (reply.status, reply.json["kind"]) == (404, "unknown")


@pytest.mark.parametrize(
    "url",
    [
        "https://elsewhere.example.org/simple/lib/",
        "https://elsewhere.example.org/links.html",
        f"https://elsewhere.example.org/{LIB}",
        "https://elsewhere.example.org/archive/main.zip",
        "https://default.example.org.evil.example/simple/lib/",
        "https://default.example.org@evil.example/simple/lib/",
        "ftp://elsewhere.example.org/lib-1.0.tar.gz",
        "file:///etc/passwd",
        "git+https://elsewhere.example.org/lib",
        "//[",
        "",
        "not a url",
    ],
)
def test_what_nobody_vouches_for_is_refused_with_a_remedy_and_without_a_request(
    gateway: Running, hostile: HostileServer, url: str
) -> None:
    all_answered()
    hostile.seen.clear()
    reply = gateway.by_url(url)
    assert (reply.status, reply.json["kind"]) == (403, "refused")
    assert not [path for path in hostile.seen if not path.startswith(("metadata/", "simple/lib"))]


def test_a_refused_index_and_a_refused_file_are_told_apart(gateway: Running) -> None:
    index = gateway.by_url("https://elsewhere.example.org/simple/lib/").json
    assert "--index-url" in index["remedy"]
    file = gateway.by_url("https://elsewhere.example.org/lib-1.0.zip").json
    assert "#sha256=" in file["remedy"]


def test_an_address_with_a_strong_hash_is_fetched_and_compared(
    gateway: Running, tmp_path: Path
) -> None:
    direct = make_wheel(tmp_path / "elsewhere", "direct", "1.0")
    data = direct.read_bytes()
    with serve_hostile(direct.parent) as server:
        url = f"{server.url}{direct.name}"
        good = f"sha256:{sha256(data).hexdigest()}"
        assert gateway.by_url(url).status == 403
        assert gateway.by_url(url, good).body == data
        assert gateway.by_url(url, f"sha512:{sha512(data).hexdigest()}").body == data
        assert gateway.by_url(url, f"sha256:{'0' * 64}", good).body == data
        wrong = gateway.by_url(url, f"sha256:{'0' * 64}")
        assert (wrong.status, wrong.json["kind"]) == (502, "verification")
        server.alter(".*", flip_byte)
        assert gateway.by_url(url, good).status == 502


def test_a_hash_vouches_for_no_wheel_that_reaches_for_what_is_not_its_own(
    gateway: Running, tmp_path: Path
) -> None:
    """The tool would install it, and another project would look installed."""
    files = {"direct.py": "", "other.egg-info": ""}
    direct = make_wheel(tmp_path / "elsewhere", "direct", "1.0", files=files)
    with serve_hostile(direct.parent) as server:
        hashed = f"sha256:{sha256(direct.read_bytes()).hexdigest()}"
        reply = gateway.by_url(f"{server.url}{direct.name}", hashed)
    assert (reply.status, reply.json["kind"]) == (502, "verification")
    assert "does not belong to its project" in str(reply.json)


def test_a_weak_hash_vouches_for_nothing(gateway: Running, tmp_path: Path) -> None:
    direct = make_wheel(tmp_path / "elsewhere", "direct", "1.0")
    with serve_hostile(direct.parent) as server:
        weak = md5(direct.read_bytes(), usedforsecurity=False).hexdigest()
        for said in (f"md5:{weak}", "sha1:00", "sha256", "nonsense", ""):
            assert gateway.by_url(f"{server.url}{direct.name}", said).status == 403
        assert server.seen == []


def test_a_gateway_for_other_tools_fetches_no_address(gateway: Running, tmp_path: Path) -> None:
    with run_gateway(tmp_path / "gateway", by_url=False) as other:
        reply = other.by_url(f"{DEFAULT_INDEX}/lib/")
        assert reply.status == 404
        assert b"lib" not in reply.body


@given(
    st.text() | st.text().map("https://{}".format) | st.text().map("https://a/{}-1.0.zip".format)
)
def test_an_address_is_understood_or_refused_whatever_it_is(url: str) -> None:
    try:
        parsed = parse(url)
    except RefusedError:
        return
    assert parsed.url.startswith(("http://", "https://"))
    assert "@" not in parsed.url.split("/")[2]
    assert refusal(parsed).remedy
    assert isinstance(parsed.projects_of_file, tuple)


def test_of_several_indexes_the_one_that_speaks_for_the_project_answers(
    tmp_path: Path, shared_repository: MadeRepository
) -> None:
    """A project of the same name in another index cannot replace a company's project."""
    public = make_repository(
        tmp_path / "public",
        make_wheel(tmp_path / "built", "lib", "99.0"),
        make_wheel(tmp_path / "built", "extra", "1.0"),
    )
    with serve_hostile(shared_repository.folder) as first, serve_hostile(public.folder) as second:
        trust = TrustStore(tmp_path / "both" / "trust")
        trust.add("company", first.url, shared_repository.root.read_bytes())
        trust.add("public", second.url, public.root.read_bytes())
        company, other = f"{first.url}simple/", f"{second.url}simple/"
        both = (company, other)
        with run_gateway(tmp_path / "both") as running:
            assert running.by_url(f"{company}lib/", indexes=both).status == 200
            refused = running.by_url(f"{other}lib/", indexes=both)
            assert refused.status == 404
            assert "'company' does" in refused.json["what"]
            assert running.by_url(f"{other}extra/", indexes=both).status == 200
            # A single index is used as it is named.
            (file,) = running.by_url(f"{other}lib/").json["files"]
            assert file["filename"].startswith("lib-99.0")
            swapped = (other, company)
            assert running.by_url(f"{company}lib/", indexes=swapped).status == 404
            # pip's default index stands for all repositories, by their mapping.
            (file,) = running.by_url(f"{DEFAULT_INDEX}/lib/").json["files"]
            assert file["filename"].startswith("lib-1.0")
