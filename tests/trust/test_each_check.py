"""What may stand in the trust map, and for how long a first root is looked for."""

from __future__ import annotations

import json
import os
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from packaging.utils import NormalizedName

from securepip.errors import SecurepipError, TransportError, UsageError, VerificationError
from securepip.formats.digests import sha256_of
from securepip.transport import file_url_to_path
from securepip.trust import (
    FirstUse,
    FirstUseRules,
    TrustStore,
    bootstrap,
    parse_location,
    same_index,
)
from tests.support.repositories import MadeRepository

HOURS = "min-age-hours"


def url(name: str) -> str:
    return f"https://{name}.example.org/"


@pytest.fixture
def store(made: MadeRepository, tmp_path: Path) -> TrustStore:
    """``one`` and ``two`` have an index, ``three`` has none and ``own`` is of this machine."""
    store = TrustStore(tmp_path / "trust")
    root = made.root.read_bytes()
    for name in ("one", "two"):
        store.add(name, url(name), root, (f"{url(name)}simple/",))
    store.add("three", url("three"), root, (), is_asked_always=False)
    rules = FirstUseRules(witnesses=(url("witness"),))
    store.add("own", made.folder.as_uri(), root, (), FirstUse(url("index"), rules))
    return store


def test_all_addresses_of_all_repositories_are_named_by_the_user(store: TrustStore) -> None:
    trust = store.read()
    expected = [url("one"), f"{url('one')}simple/", url("two"), f"{url('two')}simple/"]
    own = trust.named("own")
    assert trust.addresses == (
        *expected, url("three"), own.location, url("index"), url("witness"),
    )  # fmt: skip
    assert [entry.repositories for entry in trust.mapping] == [("one",), ("two",), ("own",)]
    with pytest.raises(UsageError, match="there are: one, two, three, own"):
        trust.named("nobody")
    with pytest.raises(UsageError, match="there are: none"):
        type(trust)().named("nobody")


def test_a_change_of_one_repository_changes_no_other(store: TrustStore, tmp_path: Path) -> None:
    before = store.read()
    store.change_addresses("two", url("new"), (), ())
    after = store.read()
    for name in ("one", "three", "own"):
        assert after.named(name) == before.named(name)
    assert (after.named("two").location, after.named("two").index_urls) == (url("new"), ())
    document = json.loads((tmp_path / "trust" / "map.json").read_text())
    assert list(document["x-index-urls"]) == ["one"]


def test_a_repository_is_believed_no_more_where_its_folder_cannot_be_removed(
    store: TrustStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*arguments: object, **options: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "rmdir", refused)
    store.remove("two")
    assert [each.name for each in store.read().repositories] == ["one", "three", "own"]


def test_a_repository_whose_root_is_gone_is_named(store: TrustStore, tmp_path: Path) -> None:
    (tmp_path / "trust" / "two" / "root.json").unlink()
    with pytest.raises(SecurepipError, match="root of the trusted repository 'two'") as raised:
        store.read()
    assert str(tmp_path / "trust" / "two") in raised.value.remedy


@pytest.mark.parametrize("name", ["..", "../evil", "a/b", "", ".hidden", "-r"])
def test_a_name_in_the_map_leads_out_of_no_folder(
    store: TrustStore, tmp_path: Path, name: str
) -> None:
    path = tmp_path / "trust" / "map.json"
    document = json.loads(path.read_text())
    document["repositories"][name] = document["repositories"].pop("three")
    path.write_text(json.dumps(document))
    with pytest.raises(SecurepipError, match=r"map\.json"):
        store.read()


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"repositories": {"one": []}},
        {"repositories": {"one": 1}},
        {"repositories": {}, "mapping": 1},
        {"repositories": {}, "mapping": [{}]},
        {"repositories": {}, "mapping": [1]},
    ],
)
def test_a_map_of_another_form_believes_nobody(
    store: TrustStore, tmp_path: Path, document: object
) -> None:
    (tmp_path / "trust" / "map.json").write_text(json.dumps(document))
    with pytest.raises(SecurepipError, match=r"map\.json"):
        store.read()


@pytest.mark.parametrize(
    "text",
    ["https://a.example.org/#x", "https://a.example.org/?x", "https:///x", "ab://x", "ftp://x"],
)
def test_what_is_no_address_of_a_repository_is_none(text: str) -> None:
    said = "is not the address" if text.startswith("https") else "is at an http, https or file URL"
    with pytest.raises(UsageError, match=said):
        parse_location(text)
    assert same_index("ab://Host/x/", "ab://host/x")
    assert not same_index("ab://host/x", "ac://host/x")


@pytest.mark.parametrize("folder", ["trust", "trust/one"])
def test_what_others_could_change_is_not_believed(
    store: TrustStore, tmp_path: Path, folder: str
) -> None:
    (tmp_path / folder).chmod(0o777)
    with pytest.raises(SecurepipError):
        store.read()


def test_a_copy_of_the_state_stands_in_the_place_of_what_cannot_be_written(
    store: TrustStore, made: MadeRepository, tmp_path: Path
) -> None:
    trust = store.read()
    trust.named("one").state.mkdir()
    (trust.named("one").state / "seen").write_text("before")
    copied = trust.with_state_copied_to(tmp_path / "copies")
    one, two, own = (copied.named(name) for name in ("one", "two", "own"))
    assert one.state != trust.named("one").state
    assert (one.state / "seen").read_text() == "before"
    assert (one.location, two.location) == (url("one"), url("two"))
    assert not two.state.exists()
    signed = file_url_to_path(own.location)
    assert signed != made.folder
    assert (signed / "metadata" / "timestamp.json").is_file()


# ----------------------------------------------------------------------- first use


@pytest.mark.parametrize(
    ("document", "is_right"),
    [
        ({}, True),
        ({HOURS: 1}, True),
        ({HOURS: 999_999}, True),
        ({HOURS: 0}, False),
        ({HOURS: 1_000_000}, False),
        ({HOURS: True}, False),
        ({HOURS: 1.5}, False),
        ({"witnesses": [url("a")]}, True),
        ({"witnesses": [1]}, False),
        ({"witnesses": url("a")}, False),
        ({"memory": "/seen.txt"}, True),
        ({"memory": 1}, False),
        ({"memory": ["/seen.txt"]}, False),
    ],
)
def test_rules_are_of_their_form(document: dict[str, object], is_right: bool) -> None:
    if is_right:
        assert FirstUseRules.from_json(document).to_json() == document
    else:
        with pytest.raises(ValueError, match="not a"):
            FirstUseRules.from_json(document)
    assert FirstUseRules(timedelta(hours=2)).to_json() == {HOURS: 2}


# ------------------------------------------------------------------- a first root


class Roots:
    """Answers with so many roots, of a kilobyte each, and then with a status."""

    def __init__(self, count: int, status: int | None = 404) -> None:
        self.count, self.status = count, status
        self.asked: list[int] = []

    def get(self, url: str, *, max_bytes: int) -> Any:
        version = int(url.rpartition("/")[2].split(".")[0])
        self.asked.append(max_bytes)
        if version > self.count:
            raise TransportError("no", url=url, status=self.status)
        return SimpleNamespace(body=self.body(version))

    def body(self, version: int) -> bytes:
        return b"%d" % version + b" " * 1000

    def find(self, version: int) -> bytes:
        return bootstrap.find_root(url("one"), sha256_of(self.body(version)), self)  # type: ignore[arg-type] # as much as is used


@pytest.mark.parametrize("status", [403, 404, 500, None])
def test_roots_end_where_the_server_has_no_more_and_not_where_it_fails(status: int | None) -> None:
    roots = Roots(3, status)
    assert roots.find(3) == roots.body(3)
    error = VerificationError if status in (403, 404) else TransportError
    with pytest.raises(error) as raised:
        roots.find(9)
    if status in (403, 404):
        assert "3 root files compared" in raised.value.what
    with pytest.raises(TransportError) as none:
        Roots(0, status).find(1)
    assert ("is not a signed repository" in none.value.what) == (status in (403, 404))


def test_roots_are_asked_for_up_to_a_number_and_for_some_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    roots = Roots(1000)
    assert roots.find(256)
    with pytest.raises(VerificationError, match="256 root files compared"):
        roots.find(257)
    assert roots.asked[:2] == [512_000, 512_000]
    now = iter([0.0, 299.0, 301.0, 302.0])
    monkeypatch.setattr(bootstrap, "time", SimpleNamespace(monotonic=lambda: next(now)))
    with pytest.raises(VerificationError, match="2 root files compared"):
        roots.find(9)


OF_ONE = "https://mirror.example.org/of"


@pytest.mark.parametrize(
    "places", [OF_ONE, [OF_ONE, None], [5], [OF_ONE, [f"https://user:{'x' * 90}@example.org/"]]]
)
def test_a_map_that_names_no_addresses_for_a_repository_is_not_believed(
    store: TrustStore, tmp_path: Path, places: object
) -> None:
    path = tmp_path / "trust" / "map.json"
    document = json.loads(path.read_text())
    document["repositories"]["one"] = [url("one").rstrip("/"), OF_ONE]
    path.write_text(json.dumps(document))
    trust = store.read()
    assert trust.named("one").location == url("one")
    assert trust.named("one").mirrors == (f"{OF_ONE}/",)
    assert f"{OF_ONE}/" in trust.addresses
    assert trust.for_maintainer(OF_ONE, NormalizedName("app")).name == "one"
    assert trust.for_index(f"{OF_ONE}/simple") == trust.named("one")
    document["repositories"]["one"] = places
    path.write_text(json.dumps(document))
    with pytest.raises(SecurepipError, match="not a list of addresses") as raised:
        store.read()
    assert "xxx" not in str(raised.value)
