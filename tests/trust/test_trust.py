"""Trust starts from what the user was told elsewhere, and is kept whole."""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path

import pytest
from packaging.utils import canonicalize_name

from securepip.errors import (
    FormatError,
    SecurepipError,
    TransportError,
    UsageError,
    VerificationError,
)
from securepip.formats.digests import Sha256
from securepip.transport import Transport, TransportOptions
from securepip.trust import (
    Assignment,
    FirstUse,
    Trust,
    TrustStore,
    find_root,
    parse_location,
    parse_root,
    same_index,
)
from tests.support.hostile import serve_hostile
from tests.support.repositories import make_repository

COMPANY, PUBLIC, OTHER = "company", "public", "other"
FREE = tuple(Assignment(("*",), (name,)) for name in (COMPANY, PUBLIC, OTHER))


def test_a_root_is_found_by_the_fingerprint_of_its_bytes(tmp_path: Path) -> None:
    made = make_repository(tmp_path / "repository")
    with serve_hostile(made.folder) as server:
        found = find_root(server.url, made.root_sha256, Transport())
    assert found == made.root.read_bytes()
    assert parse_root(found) == 1


def test_a_wrong_fingerprint_is_refused_without_telling_the_right_one(tmp_path: Path) -> None:
    made = make_repository(tmp_path / "repository")
    with serve_hostile(made.folder) as server, pytest.raises(VerificationError) as caught:
        find_root(server.url, Sha256("0" * 64), Transport())
    assert made.root_sha256 not in str(caught.value)


def test_an_address_without_a_repository_says_so(tmp_path: Path) -> None:
    with (
        serve_hostile(tmp_path) as server,
        pytest.raises(TransportError, match="not a signed repository"),
    ):
        find_root(server.url, Sha256("0" * 64), Transport(TransportOptions(retries=0)))


def test_whoever_answers_with_root_after_root_is_not_listened_to_for_ever(tmp_path: Path) -> None:
    with serve_hostile(tmp_path) as server:
        server.alter(r"metadata/\d+\.root\.json", lambda data: b"x" * 500_000)
        with pytest.raises((VerificationError, TransportError)):
            find_root(server.url, Sha256("0" * 64), Transport(TransportOptions(retries=0)))
        assert len(server.seen) < 20
        server.alter(r"metadata/\d+\.root\.json", lambda data: b"x")
        server.seen.clear()
        with pytest.raises(VerificationError):
            find_root(server.url, Sha256("0" * 64), Transport(TransportOptions(retries=0)))
        assert len(server.seen) <= 256


def test_what_is_not_a_root_signed_by_its_own_keys_is_no_start(tmp_path: Path) -> None:
    made = make_repository(tmp_path / "repository")
    document = json.loads(made.root.read_bytes())
    document["signed"]["version"] = 7
    timestamp = (made.folder / "metadata" / "timestamp.json").read_bytes()
    for data in (b"", b"{}", b"\xff", json.dumps(document).encode(), timestamp):
        with pytest.raises(FormatError):
            parse_root(data)


def test_locations_are_urls_or_folders_that_hold_a_repository(tmp_path: Path) -> None:
    (tmp_path / "metadata").mkdir()
    as_url = tmp_path.as_uri() + "/"
    assert parse_location(str(tmp_path)) == as_url
    assert parse_location(tmp_path.as_uri()) == as_url
    assert parse_location("https://packages.example.org") == "https://packages.example.org/"
    for wrong in (
        str(tmp_path / "metadata"),
        "ftp://packages.example.org/",
        "https://",
        "https://packages.example.org/?x=1",
        "file://other-host/share",
    ):
        with pytest.raises(UsageError):
            parse_location(wrong)


def test_what_is_added_is_kept_private_and_removed_whole(tmp_path: Path) -> None:
    store = TrustStore(tmp_path / "trust")
    added = store.add("one", "https://packages.example.org/", b"root")
    added.state.mkdir()
    if os.name != "nt":
        assert (tmp_path / "trust").stat().st_mode & 0o077 == 0
        assert (tmp_path / "trust" / "map.json").stat().st_mode & 0o077 == 0
    assert store.read().named("one").root == b"root"
    with pytest.raises(UsageError, match="already"):
        store.add("one", "https://packages.example.org/", b"root")
    store.remove("one")
    assert store.read().repositories == ()
    assert not added.state.exists()
    with pytest.raises(UsageError, match="no trusted repository"):
        store.remove("one")


@pytest.mark.parametrize("name", ["", "../x", "A", "a/b", ".x", "a b", "x" * 65, "map.json/.."])
def test_names_that_could_leave_the_folder_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError):
        TrustStore(tmp_path / "trust").add(name, "https://packages.example.org/", b"root")


def test_repositories_are_asked_in_the_order_of_the_map_until_one_ends_the_search(
    tmp_path: Path,
) -> None:
    store = TrustStore(tmp_path / "trust")
    for name in ("one", "two", "three"):
        store.add(name, f"https://{name}.example.org/", b"root")
    assert names(store, "alpha") == ["one", "two", "three"]
    path = tmp_path / "trust" / "map.json"
    document = json.loads(path.read_bytes())
    document["mapping"] = [
        {"paths": ["simple/al*/*"], "repositories": ["two"], "terminating": True, "threshold": 1},
        {"paths": ["*"], "repositories": ["one"], "terminating": False, "threshold": 1},
    ]
    path.write_text(json.dumps(document))
    assert names(store, "alpha") == ["two"]
    assert names(store, "beta") == ["one"]


def names(store: TrustStore, project: str) -> list[str]:
    """The repositories that are asked for a project, in order."""
    assigned = store.read().assigned(canonicalize_name(project))
    return [name for assignment in assigned for name in assignment.repositories]


@pytest.mark.parametrize(
    "damage",
    [
        "",
        "[]",
        '{"repositories": {"one": []}, "mapping": []}',
        '{"repositories": {"../one": ["https://x.example.org/"]}, "mapping": []}',
        '{"repositories": {}, "mapping": [{"paths": ["*"], "repositories": ["gone"]}]}',
        '{"repositories": {}, "mapping": [{"paths": ["*"], "repositories": [], "threshold": 1}]}',
        '{"repositories": {}, "mapping": [{"paths": ["*"], "repositories": [], "threshold": 0}]}',
        '{"repositories": {"one": ["https://x.example.org/"]},'
        ' "mapping": [{"paths": ["*"], "repositories": ["one"], "threshold": 0}]}',
        '{"repositories": {"one": ["https://x.example.org/"]},'
        ' "mapping": [{"paths": ["*"], "repositories": ["one"], "threshold": true}]}',
        '{"repositories": {"one": ["https://x.example.org/"]},'
        ' "mapping": [{"paths": ["*"], "repositories": ["one", "one"], "threshold": 2}]}',
        '{"repositories": {"one": ["https://x.example.org/"]},'
        ' "mapping": [{"paths": ["*"], "repositories": ["one"], "threshold": 2}]}',
    ],
)
def test_a_map_that_cannot_be_read_believes_nobody(tmp_path: Path, damage: str) -> None:
    store = TrustStore(tmp_path / "trust")
    store.add("one", "https://packages.example.org/", b"root")
    (tmp_path / "trust" / "map.json").write_text(damage)
    with pytest.raises(SecurepipError, match="cannot be read"):
        store.read()


def test_what_is_in_the_place_of_the_map_is_not_read_as_no_map(tmp_path: Path) -> None:
    (tmp_path / "trust" / "map.json").mkdir(parents=True)
    (tmp_path / "trust").chmod(0o700)
    with pytest.raises(SecurepipError, match="cannot be read"):
        TrustStore(tmp_path / "trust").read()


def test_a_map_that_others_wrote_may_leave_out_what_has_a_default(tmp_path: Path) -> None:
    """By TAP 4 one repository is enough, and the search goes on after it."""
    store = TrustStore(tmp_path / "trust")
    for name in ("one", "two"):
        store.add(name, f"https://{name}.example.org/", b"root")
    path = tmp_path / "trust" / "map.json"
    document = json.loads(path.read_bytes())
    document["mapping"] = [{"paths": ["*"], "repositories": ["one", "two"]}]
    path.write_text(json.dumps(document))
    (read,) = store.read().mapping
    assert read == Assignment(("*",), ("one", "two"), terminating=False, threshold=1)


def test_what_was_left_of_a_repository_is_no_state_of_a_new_one(tmp_path: Path) -> None:
    """Old metadata of another repository would be what the new one may not go back behind."""
    left = tmp_path / "trust" / "one" / "metadata"
    left.mkdir(parents=True)
    (left / "timestamp.json").write_text("of another")
    for folder in (tmp_path / "trust", left.parent):
        folder.chmod(0o700)
    added = TrustStore(tmp_path / "trust").add("one", "https://packages.example.org/", b"root")
    assert added.state == left
    assert not left.exists()


def test_the_repository_that_is_meant_is_found_by_all_that_names_it(tmp_path: Path) -> None:
    store = TrustStore(tmp_path / "trust")
    indexes = ("https://index.example.org/simple/",)
    # Nobody asks this machine to let a project sign for itself.
    store.add("own", "file:///own/", b"root", (), FirstUse("https://index.example.org/own/"))
    for name in ("one", "two"):
        store.add(name, f"https://{name}.example.org/", b"root", indexes if name == "two" else ())
    app, trust = canonicalize_name("app"), store.read()
    assert trust.for_maintainer(None, app).name == "one"
    for named in ("two", "https://two.example.org", "https://user:pw@two.example.org/", *indexes):
        assert trust.for_maintainer(named, app).name == "two"
    assert trust.for_maintainer("https://two.example.org/simple", app).name == "two"
    with pytest.raises(UsageError, match="no trusted repository is called"):
        trust.for_maintainer("three", app)
    with pytest.raises(UsageError, match="speaks for app"):
        Trust(trust.repositories).for_maintainer(None, app)


def test_an_index_that_a_file_names_adds_nobody_to_the_one_repository_of_an_option(
    tmp_path: Path,
) -> None:
    store = TrustStore(tmp_path / "trust")
    for name in ("one", "two"):
        store.add(name, f"https://{name}.example.org/", b"root")
    only = store.read().only("one").limited_to(["two"])
    app = canonicalize_name("app")
    assert [each.repositories for each in only.assigned(app)] == [("one",)]


def test_who_may_speak_for_certain_projects_may_speak_for_no_others_when_an_index_names_it() -> (
    None
):
    bound = Trust((), (Assignment(("*/internal*/*",), (COMPANY,)),))
    assert bound.including([COMPANY]) == bound
    added = bound.including([PUBLIC, PUBLIC])
    assert added.mapping == (*bound.mapping, Assignment(("*",), (PUBLIC,)))


@pytest.mark.parametrize(
    ("one", "other", "are_the_same"),
    [
        ("https://packages.example.org/simple", "HTTPS://me:pw@Packages.Example.org/simple/", True),
        ("https://packages.example.org/simple", "http://packages.example.org/simple", False),
        ("https://packages.example.org/simple", "https://packages.example.org/Simple", False),
        ("https://packages.example.org/simple", "https://packages.example.org/simple?x=1", False),
        ("/srv/index", "file:///srv/index/", True),
        ("/srv/index", "/srv/other", False),
        ("file://other-host/srv", "file:///srv", False),
        ("https://[::1", "https://[::1", True),
        ("~nobody-of-this-name/x", "~nobody-of-this-name/x", True),
    ],
)
def test_two_addresses_are_one_index_only_if_the_same_bytes_answer(
    one: str, other: str, are_the_same: bool
) -> None:
    assert same_index(one, other) == are_the_same


def test_a_path_that_leads_nowhere_is_an_address_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "one").symlink_to(tmp_path / "two")
    (tmp_path / "two").symlink_to(tmp_path / "one")
    assert not same_index(str(tmp_path / "one"), str(tmp_path / "three"))
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    assert same_index("simple", "simple")
    assert not same_index("simple", "other")


def test_a_folder_whose_name_looks_like_a_drive_is_a_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "c:own" / "metadata").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    assert parse_location("c:own").endswith("own/")
    with pytest.raises(UsageError, match="http, https or file"):
        parse_location("ssh://packages.example.org/repository")


def test_two_that_add_at_the_same_time_are_both_believed(tmp_path: Path) -> None:
    def add(number: int) -> None:
        store = TrustStore(tmp_path / "trust")
        store.add(f"r{number}", "https://packages.example.org/", b"root")

    threads = [threading.Thread(target=add, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(TrustStore(tmp_path / "trust").read().repositories) == 8


def asked(mapping: tuple[Assignment, ...], limit: list[str], project: str) -> list[tuple[str, ...]]:
    trust = Trust((), mapping).limited_to(limit)
    return [each.repositories for each in trust.assigned(canonicalize_name(project))]


def test_an_option_chooses_and_orders_what_is_bound_to_no_project() -> None:
    assert asked(FREE, [OTHER, PUBLIC], "app") == [(OTHER,), (PUBLIC,)]
    either = Assignment(("*",), (COMPANY, PUBLIC))
    assert asked((either,), [PUBLIC], "app") == [(PUBLIC,)]


@pytest.mark.parametrize(
    "bound",
    [
        Assignment(("*/internal*/*",), (COMPANY,), terminating=True),
        Assignment(("*/internal*/*",), (COMPANY,)),
        Assignment(("*",), (COMPANY,), terminating=True),
        Assignment(("*",), (COMPANY, OTHER), threshold=2),
        Assignment(("*",), (COMPANY, OTHER), terminating=True, threshold=2),
    ],
    ids=["terminating", "certain projects", "the last word", "agreement", "terminating agreement"],
)
@pytest.mark.parametrize("limit", [[PUBLIC], [PUBLIC, OTHER], [OTHER, PUBLIC, COMPANY]])
def test_no_option_hands_a_bound_project_to_another_repository(
    bound: Assignment, limit: list[str]
) -> None:
    first = asked((bound, *FREE), limit, "internal")
    assert first[0] == bound.repositories
    assert len(first) == (1 if bound.terminating else 1 + len(limit))
    # Nor is one that comes after it asked before it, though the option names it first.
    middle = asked((FREE[0], bound, *FREE[1:]), [PUBLIC, COMPANY], "internal")
    assert middle[:2] == [(COMPANY,), bound.repositories]
