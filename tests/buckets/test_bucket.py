"""A repository in a bucket: all of its commands, and failures of the bucket."""

from __future__ import annotations

import json
import threading
import urllib.request
from http.client import HTTPResponse
from pathlib import Path

import obstore
import pytest
from obstore.store import MemoryStore

from securepip.engine import storage
from securepip.engine.address import parse_store
from securepip.engine.bucket import BucketSite
from securepip.errors import UsageError
from securepip.signing.publish.serve import RepositoryServer
from securepip.signing.repository.storage.interface import OvertakenError
from tests.buckets.indexes import BucketIndex
from tests.support.hostile import running
from tests.support.indexes import serve_index
from tests.support.machine import Machine
from tests.support.store import Store
from tests.support.wheels import make_wheel

APP = "packages/app/app-1.0-py3-none-any.whl"
SECRET = "the-secret-of-the-operator"


def opened(url: str, **headers: str) -> HTTPResponse:
    """The answer of a server on this machine."""
    asked = urllib.request.Request(url, headers=headers)  # noqa: S310 # loopback
    answer = urllib.request.urlopen(asked, timeout=30)  # noqa: S310
    assert isinstance(answer, HTTPResponse)
    return answer


def test_everything_from_init_to_an_install(
    index: BucketIndex, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    index.add(make_wheel(tmp_path, "app", "1.0"), make_wheel(tmp_path, "lib", "1.0"))
    user = index.operator
    done = user.run("trust", "add", "made", index.url, "--root-sha256", index.root_sha256)
    assert done.code == 0, done.err
    assert user.install("app").code == 0
    assert user.version_of("app") == "1.0"
    # Plain pip finds it too, and a CDN is told what it may keep.
    assert b"app-1.0" in index.read("simple/app/index.html")
    for name, kept in (("metadata/timestamp.json", "no-cache"), (APP, "immutable")):
        with opened(index.url + name) as answer:
            assert kept in answer.headers["Cache-Control"]
    for command, words in (
        ("remove", ["lib"]),
        ("status", []),
        ("refresh", []),
        ("audit", []),
        ("audit", ["--rebuild"]),
        ("gc", ["--grace", "0"]),
        ("log", []),
        ("settings", ["--name", "shelf", "--url", index.url]),
    ):
        done = index.run(command, *words)
        assert done.code == 0, (command, done.err)
    assert b"shelf" in index.read("status/index.html")
    assert index.look(tmp_path / "client", APP, "simple/lib/index.json") == [True, False]
    # Nothing of what a repository remembers, and no key, is in the bucket.
    kinds = {key.partition("/")[0] for key in index.store.names("index")}
    assert kinds == {"metadata", "simple", "packages", "status"}
    for name, value in user.variables.items():
        monkeypatch.setenv(name, value)
    with RepositoryServer(BucketSite(parse_store(index.address))) as server, running(server):
        for name in (APP, "simple/app/", "metadata/timestamp.json"):
            with opened(server.url + name) as answer:
                assert answer.read()
        with opened(server.url + APP, Range="bytes=1-3") as answer:
            assert answer.read() == index.read(APP)[1:4]


def test_keys_are_rotated_and_another_index_is_signed_for_in_a_bucket(
    index: BucketIndex, tmp_path: Path
) -> None:
    (offline,) = (tmp_path / "data" / "keys").glob("*/offline")
    done = index.run("rotate", "online", "--offline-keys", offline)
    assert done.code == 0, done.err
    with serve_index() as upstream:
        upstream.offer(make_wheel(tmp_path, "app", "1.0", requires=["lib"]))
        done = index.run("sync", "--upstream", upstream.url, "app")
        assert done.code == 0, done.err
    assert index.look(tmp_path / "client", "simple/app/index.json") == [True]
    assert json.loads(index.read("metadata/3.root.json"))


def test_of_two_publishers_at_once_the_store_refuses_the_second(
    index: BucketIndex, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both believe that they are alone: one machine's state was copied to another."""
    app, lib = make_wheel(tmp_path, "app", "1.0"), make_wheel(tmp_path, "lib", "1.0")
    other = tmp_path / "copied"
    copied = index.operator.command("cp", "-r", tmp_path / "data", other)
    assert copied.code == 0
    begun: list[str] = []

    def decide(method: str, name: str) -> int | None:
        if (method, name) == ("PUT", "index/metadata/timestamp.json") and not begun:
            begun.append(name)
            done = index.operator.process(
                "repo", "add", index.address, lib, SECUREPIP_DATA_DIR=str(other)
            )
            assert done.code == 0, done.err
        return None

    index.store.decide = decide
    done = index.run("add", app)
    assert begun
    assert done.code == 1
    assert "metadata/timestamp.json was replaced by another process" in done.err
    lib_path = "packages/lib/lib-1.0-py3-none-any.whl"
    assert index.look(tmp_path / "client", APP, lib_path) == [False, True]
    # What the first one remembers is older now than what is current: it signs nothing on top.
    assert "audit" in (again := index.run("add", app)).err or "log" in again.err
    assert again.code == 1
    assert index.look(tmp_path / "client", APP, lib_path) == [False, True]


@pytest.mark.parametrize(
    "failing",
    [
        ("PUT", "packages/app/"),
        ("PUT", "metadata/2.bin"),
        ("PUT", "metadata/2.snapshot"),
        ("PUT", "metadata/timestamp"),
        ("PUT", "simple/index.html"),
        ("GET", "metadata/timestamp"),
    ],
    ids="-".join,
)
def test_a_store_that_fails_in_the_middle_leaves_nothing_invalid_current(
    index: BucketIndex, tmp_path: Path, failing: tuple[str, str]
) -> None:
    method, start = failing
    index.store.decide = lambda asked, name: (
        503 if asked == method and name.startswith(index.key(start)) else None
    )
    done = index.run("add", make_wheel(tmp_path, "app", "1.0"))
    assert done.code == 1
    assert "the store answers 503" in done.err
    assert "Run the same command again" in done.err
    assert SECRET not in done.err + done.out
    index.store.decide = lambda method, name: None
    committed = start == "simple/index.html"
    assert index.look(tmp_path / "client", APP) == [committed]
    index.add(make_wheel(tmp_path, "app", "1.0"))
    assert index.look(tmp_path / "client", APP) == [True]
    assert b"app" in index.read("simple/index.html")
    assert index.run("audit").code == 0


def test_what_plain_clients_see_is_made_up_for_where_the_store_failed(
    index: BucketIndex, tmp_path: Path
) -> None:
    """The list of projects stays as it is, so that nothing but the page is written then."""
    index.add(make_wheel(tmp_path, "app", "1.0"))
    name = index.key("simple/app/index.html")
    index.store.decide = lambda method, asked: 503 if (method, asked) == ("PUT", name) else None
    assert index.run("add", make_wheel(tmp_path, "app", "2.0")).code == 1
    index.store.decide = lambda method, asked: None
    assert b"app-2.0" not in index.read("simple/app/index.html")
    index.add(make_wheel(tmp_path, "lib", "1.0"))
    assert b"app-2.0" in index.read("simple/app/index.html")


@pytest.mark.parametrize(
    ("address", "variables", "status", "said"),
    [
        ("s3://missing/index", {}, None, "there is no such bucket"),
        ("s3://packages/new", {}, 403, "the store does not allow it (403 SlowDown)"),
        ("s3://packages/new", {"AWS_ALLOW_HTTP": "false"}, None, "cannot be reached"),
        (
            "s3://packages/new",
            {"AWS_ENDPOINT_URL": "http://127.0.0.1:9"},
            None,
            "cannot be reached",
        ),
        ("s3://user:word@packages/new", {}, None, "it holds a password"),
        ("s3://packages/../new", {}, None, "not the address of a bucket"),
        ("ftp://packages/new", {}, None, "begins with ftp://"),
    ],
)
def test_what_is_wrong_with_a_bucket_is_said(
    operator: Machine,
    store: Store,
    address: str,
    variables: dict[str, str],
    status: int | None,
    said: str,
) -> None:
    store.decide = lambda method, name: status
    done = operator.run("repo", "init", address, **variables)
    assert done.code in (1, 2)
    assert said in done.err
    assert SECRET not in done.err + done.out
    assert "word" not in done.err.replace("password", "")


NOWHERE = "http://127.0.0.1:9"
AZURE = {"AZURE_STORAGE_ACCOUNT_NAME": "operator", "AZURE_STORAGE_ACCOUNT_KEY": "c2VjcmV0"}
GOOGLE = {"GOOGLE_BASE_URL": NOWHERE, "GOOGLE_SKIP_SIGNATURE": "true"}


@pytest.mark.parametrize(
    ("address", "variables", "said"),
    [
        ("gs://packages/new", GOOGLE, "(GOOGLE_BASE_URL)"),
        ("gs://packages/new", {**GOOGLE, "AWS_ALLOW_HTTP": "true"}, "GOOGLE_ALLOW_HTTP is true"),
        ("az://packages/new", {**AZURE, "AZURE_STORAGE_ENDPOINT": NOWHERE}, "AZURE_ALLOW_HTTP is"),
        ("az://packages/new", {}, "AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY."),
    ],
)
def test_a_store_that_does_not_answer_is_told_of_by_its_own_settings(
    machine: Machine,
    monkeypatch: pytest.MonkeyPatch,
    address: str,
    variables: dict[str, str],
    said: str,
) -> None:
    monkeypatch.setattr("securepip.engine.bucket._RETRY", {"max_retries": 0})
    done = machine.run("repo", "init", address, **variables)
    assert done.code == 1
    assert said in done.err
    assert "AWS_" not in done.err


def test_what_is_there_already_is_not_taken_for_a_new_repository(
    index: BucketIndex, tmp_path: Path
) -> None:
    assert "is a repository already" in index.run("init").err
    stranger = {"SECUREPIP_DATA_DIR": str(tmp_path / "stranger")}
    assert "is not empty" in index.run("init", **stranger).err
    assert "this machine does not sign for" in index.run("status", **stranger).err
    # A first `init` that was cut off is begun anew.
    cut_off = BucketIndex(index.operator, index.store, "s3://packages/cut", "")
    index.store.decide = lambda method, name: 503 if name == "cut/metadata/timestamp.json" else None
    assert cut_off.run("init", "--expected-files", "1").code == 1
    index.store.decide = lambda method, name: None
    assert cut_off.run("init", "--expected-files", "1").code == 0
    assert cut_off.run("audit").code == 0


def test_who_can_write_to_the_bucket_gets_no_signature(index: BucketIndex, tmp_path: Path) -> None:
    app, lib = make_wheel(tmp_path, "app", "1.0"), make_wheel(tmp_path, "lib", "1.0")
    old = index.read("metadata/timestamp.json")
    index.add(app)
    new = index.read("metadata/timestamp.json")
    index.store.put(index.key("metadata/timestamp.json"), old)
    assert "is of version 1, but version 2 was signed here" in index.run("add", lib).err
    index.store.put(index.key("metadata/timestamp.json"), new)
    (page,) = (name for name in index.store.names("index/simple/app") if ".index.json" in name)
    good = index.store.get(f"index/simple/app/{page}")
    index.store.put(f"index/simple/app/{page}", good.replace(b"app", b"api"))
    assert "is not the page that was signed" in index.run("remove", "app==1.0").err
    index.store.put(f"index/simple/app/{page}", good)
    index.store.put(index.key("metadata/1.root.json"), b"{}")
    done = index.run("add", lib)
    assert "is not the root that this repository began with" in done.err


def test_a_new_file_asks_for_none_of_those_that_its_project_has(
    index: BucketIndex, tmp_path: Path
) -> None:
    index.add(*(make_wheel(tmp_path, "app", f"1.{number}") for number in range(3)))
    index.store.seen.clear()
    index.add(make_wheel(tmp_path, "app", "2.0"))
    assert not [asked for asked in index.store.seen if "app-1." in asked]
    pages = [asked for asked in index.store.seen if asked.startswith("GET index/simple/app/")]
    assert pages.count(pages[0]) == 1, "the page that was current never changes"


@pytest.mark.parametrize("name", ["packages/app/../../evil", "packages/app//x"])
def test_a_name_that_no_repository_has_stops_gc_in_words(index: BucketIndex, name: str) -> None:
    index.store.put(index.key(name), b"evil")
    done = index.run("gc", "--grace", "0")
    assert done.code == 1
    assert "it holds an object whose name no repository has" in done.err
    assert index.read(name) == b"evil"


def test_an_object_without_end_is_not_read(
    index: BucketIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(storage, "MAX_READ", 100_000)
    index.store.put(index.key("metadata/timestamp.json"), b"x" * 100_001)
    done = index.run("status")
    assert done.code == 1
    assert "more than anything that is read whole" in done.err


def test_an_address_is_written_in_one_way() -> None:
    assert str(parse_store("s3://packages/a/b/")) == "s3://packages/a/b"
    assert str(parse_store("gs://packages")) == "gs://packages"
    for wrong in ("s3://", "s3:///x", "s3://packages/a?b", "s3://packages/./x", "S3://packages"):
        with pytest.raises(UsageError, match="not the address"):
            parse_store(wrong)


def test_a_write_whose_answer_was_lost_is_known_again() -> None:
    kept, name = MemoryStore(), "metadata/2.bins.json"
    obstore.put(kept, name, b"signed")  # what the first try has written
    bucket = storage.ObjectStorage(kept, "memory")
    again = threading.Thread(
        target=bucket.write, args=(name, b"signed"), kwargs={"durable": True}, daemon=True
    )
    again.start()
    again.join(20)
    assert not again.is_alive()
    with pytest.raises(OvertakenError):
        bucket.write(name, b"other", durable=True)


def test_what_another_publisher_has_replaced_is_not_replaced_by_who_never_read_it() -> None:
    kept, name = MemoryStore(), "metadata/timestamp.json"
    bucket = storage.ObjectStorage(kept, "memory")
    obstore.put(kept, name, b"first")
    assert bucket.read(name) == b"first"
    obstore.put(kept, name, b"of another")
    for before in (b"first", b"never there"):
        with pytest.raises(OvertakenError):
            bucket.replace(name, b"second", before)
    assert bucket.read(name) == b"of another"
    bucket.replace(name, b"second", b"of another")
    assert bucket.read(name) == b"second"
