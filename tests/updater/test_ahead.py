"""The files that are prefetched, by the local state: without a server and python-tuf."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from tuf.api.exceptions import DownloadError, DownloadHTTPError
from tuf.api.metadata import MetaFile, SuccinctRoles

from securepip import updater
from securepip.errors import TransportError
from securepip.transport import Transport
from securepip.updater import ahead, fetcher, session
from securepip.updater.ahead import RolesAhead
from tests.support.repositories import MadeRepository

URL = "https://packages.example.org/metadata/"
APP, WHEEL = "simple/app/index.json", "packages/app/app-1.0.tar.gz"
SIXTEEN = SuccinctRoles([], 1, 4, "bin")
BINS = [*SIXTEEN.get_roles()]
"""Sixteen bins."""


class Early:
    """Records the downloads that are begun, in place of a transport."""

    def __init__(self) -> None:
        self.begun: list[tuple[str, int]] = []

    def begin_ahead(self, url: str, *, max_bytes: int) -> None:
        self.begun.append((url.removeprefix(URL), max_bytes))

    @property
    def names(self) -> list[str]:
        return [name for name, _ in self.begun]


def begun(state: Path, root: bytes | None = None, *paths: str) -> Early:
    early = Early()
    ahead.begin(early, URL, state, root, iter(paths))  # type: ignore[arg-type] # as much as is used
    return early


def keep(state: Path, role: str, version: int = 1, **signed: Any) -> None:
    """Put a role into the state folder."""
    state.mkdir(exist_ok=True)
    document = {"signed": {"version": version, **signed}}
    (state / f"{role}.json").write_text(json.dumps(document))


def listing(*roles: str, version: int = 1, length: int | None = None) -> dict[str, Any]:
    return {f"{role}.json": MetaFile(version, length) for role in roles}


def delegating(*roles: str) -> dict[str, Any]:
    return {"delegations": {"roles": [{"name": role} for role in roles]}}


def divided(bits: object = 4, prefix: str = "bin") -> dict[str, Any]:
    succinct = {"bit_length": bits, "name_prefix": prefix}
    return {"delegations": {"succinct_roles": succinct}}


class Asked:
    """Prefetching of roles by a snapshot, and its requests."""

    def __init__(
        self, state: Path, snapshot: Mapping[str, Any], answers: Mapping[str, object] | None = None
    ) -> None:
        self.now: list[tuple[str, int | None]] = []
        self._answers = answers or {}
        self.roles = RolesAhead(URL, state, snapshot, self._warm, self._warmed)

    def _warm(self, url: str, length: int | None) -> None:
        self.now.append((url.removeprefix(URL), length))

    def _warmed(self, url: str) -> bytes | None:
        found = self._answers.get(url.removeprefix(URL))
        return None if found is None else json.dumps(found).encode()

    def begin(self, *paths: str, wait: bool = False) -> list[str]:
        self.now.clear()
        self.roles.begin(iter(paths), wait=wait)
        return [name for name, _ in self.now]


def bin_of(path: str) -> str:
    return f"1.{SIXTEEN.get_role_for_target(path)}.json"


# ------------------------------------------------------------------- before a refresh


@pytest.mark.parametrize(
    ("history", "root", "following"),
    [
        (None, None, 1),
        (None, b"", 1),
        (None, b"[]", 1),
        (None, b"{}", 1),
        (None, b'{"signed": {"version": 3}}', 4),
        (None, b'{"signed": {"version": "x"}}', 1),
        ([], b'{"signed": {"version": 3}}', 4),
        (["1.root.json", "2.root.json", "10.root.json"], b'{"signed": {"version": 3}}', 11),
        (["09.root.json", "x.root.json", "12.root.json.part", "2.root.json"], None, 3),
        (["odd"], b'{"signed": {"version": 3}}', 4),
    ],
)
def test_the_root_after_the_last_that_is_known_is_asked_for_and_the_timestamp(
    tmp_path: Path, history: list[str] | None, root: bytes | None, following: int
) -> None:
    state = tmp_path / "state"
    if history is not None:
        (state / "root_history").mkdir(parents=True)
        for name in history:
            (state / "root_history" / name).touch()
    early = begun(state, root, APP)
    assert early.begun == [(f"{following}.root.json", 512_000), ("timestamp.json", 16_384)]


def test_what_was_listed_last_is_asked_for_where_something_new_is_looked_up(
    tmp_path: Path,
) -> None:
    meta = {"bins.json": {"version": 2, "length": 700}}
    meta |= {f"{name}.json": {"version": 3} for name in BINS}
    keep(tmp_path, "snapshot", meta=meta)
    assert begun(tmp_path).names == ["1.root.json", "timestamp.json"]
    found = begun(tmp_path, None, APP).begun[2:]
    own = f"3.{SIXTEEN.get_role_for_target(APP)}.json"
    assert found == [("2.bins.json", 700), (own, ahead.UNANNOUNCED_BYTES)]


@pytest.mark.parametrize(
    "kept",
    [
        None,
        b"",
        b"[]",
        b"[" * 100_000,
        b"{}",
        b'{"signed": {"meta": []}}',
        b'{"signed": {"meta": {"a.json": {"version": Infinity}}}}',
        b'{"signed": {"meta": {"a.json": {}}}}',
        b'{"signed": {"meta": {"a.json": []}}}',
        b'{"signed": {"meta": {"a.json": {"version": "x"}}}}',
    ],
)
def test_a_snapshot_that_cannot_be_read_lists_nothing(tmp_path: Path, kept: bytes | None) -> None:
    if kept is not None:
        (tmp_path / "snapshot.json").write_bytes(kept)
    assert ahead._last_listed(tmp_path) == {}
    assert begun(tmp_path, None, APP).names == ["1.root.json", "timestamp.json"]


@pytest.mark.parametrize(
    ("announced", "limit"),
    [
        (None, 2 << 20),
        (0, 2 << 20),
        (1, 1),
        (128 << 20, 128 << 20),
        ((128 << 20) + 1, 128 << 20),
    ],
)
def test_a_role_is_read_early_as_far_as_it_is_announced(announced: int | None, limit: int) -> None:
    assert ahead.early_limit(announced) == limit


# ----------------------------------------------------------------------------- roles


def test_a_role_is_asked_for_once_and_only_if_it_is_listed_and_not_here(tmp_path: Path) -> None:
    state = tmp_path / "a state"
    keep(state, "here", 2)
    keep(state, "older", 1)
    (state / "damaged.json").write_bytes(b"{}")
    (state / "list.json").write_bytes(b"[]")
    roles = ("here", "older", "damaged", "list", "new", "odd/name")
    asked = Asked(state, listing(*roles, version=2, length=9))
    for role in (*roles, *roles, "unlisted"):
        asked.roles.warm(role)
    names = ("2.older.json", "2.damaged.json", "2.list.json", "2.new.json", "2.odd%2Fname.json")
    assert asked.now == [(name, 9) for name in names]
    assert asked.roles._url("unlisted") == f"{URL}0.unlisted.json"


def test_the_bins_of_what_is_looked_up_are_asked_for_by_their_names_or_as_is_said(
    tmp_path: Path,
) -> None:
    snapshot = listing("bins", "claimed", "recently-claimed", *BINS)
    tops = ["1.claimed.json", "1.recently-claimed.json", "1.bins.json"]
    nothing_known = Asked(tmp_path, snapshot)
    assert nothing_known.begin(APP, WHEEL) == [*tops, bin_of(APP), bin_of(WHEEL)]
    assert nothing_known.begin(APP, "elsewhere") == [bin_of("elsewhere")]
    assert nothing_known.begin() == []
    # Where it may be waited for, what the role says counts: also what is here.
    other = {"1.bins.json": {"signed": divided(1, "half")}}
    waited = Asked(tmp_path, {**snapshot, **listing("half-0", "half-1")}, other)
    half = SuccinctRoles([], 1, 1, "half").get_role_for_target(APP)
    assert waited.begin(APP, wait=True) == [*tops, f"1.{half}.json"]
    keep(tmp_path, "bins", **divided())
    here = Asked(tmp_path, snapshot)
    assert here.begin(APP) == [*tops[:2], bin_of(APP)]
    assert here.roles._division is not None
    keep(tmp_path, "bins", **divided(1, "half"))
    assert here.begin(WHEEL, wait=True) == [bin_of(WHEEL)], "it is known from before"


@pytest.mark.parametrize("bits", [1, 32])
def test_the_fewest_and_the_most_bins_are_understood(tmp_path: Path, bits: int) -> None:
    keep(tmp_path, "bins", **divided(bits))
    asked = Asked(tmp_path, listing("bins", *BINS))
    asked.begin(APP, wait=True)
    assert asked.roles._division == ahead._Bins("bin", bits)


@pytest.mark.parametrize("bits", [0, 33, -1, "x", None, float("inf"), float("nan")])
def test_a_number_of_bins_that_makes_no_sense_is_passed_over(tmp_path: Path, bits: object) -> None:
    keep(tmp_path, "bins", **divided(bits))
    asked = Asked(tmp_path, listing("bins", *BINS))
    assert asked.begin(APP, wait=True) == []
    assert asked.roles._division is None


@pytest.mark.parametrize("bits", [1, 4, 5, 32])
def test_a_bin_is_named_as_the_specification_says(bits: int) -> None:
    roles = SuccinctRoles([], 1, bits, "x")
    for path in (APP, WHEEL, "é"):
        assert ahead._Bins("x", bits).role_of(path) == roles.get_role_for_target(path)


@pytest.mark.parametrize("named_by", [None, "claimed", "claimed.ap", "recently-claimed"])
def test_the_roles_on_the_way_to_a_project_that_signs_for_itself_are_asked_for(
    tmp_path: Path, named_by: str | None
) -> None:
    tops = ("claimed", "recently-claimed")
    shards = ("claimed.a", "claimed.ap", "claimed.ax", "recently-claimed.app")
    snapshot = listing(*tops, *shards, "project.app", "project.lib", "bins", *BINS)
    if named_by:
        keep(tmp_path, named_by, 1, **delegating("project.other", "project.app"))
        keep(tmp_path, "claimed.a", 0, **delegating("claimed.ap"))
    names = ["claimed", "claimed.a", "claimed.ap"]
    if named_by is None or named_by.startswith("recently"):
        names += ["recently-claimed", "recently-claimed.app"]
    expected = [f"1.{name}.json" for name in (*names, "project.app") if name != named_by]
    assert Asked(tmp_path, snapshot).begin(APP, WHEEL) == expected


def test_of_a_project_that_does_not_sign_for_itself_the_bin_is_asked_for_too(
    tmp_path: Path,
) -> None:
    snapshot = listing("claimed.ap", "recently-claimed.a", "project.lib", "bins", *BINS)
    keep(tmp_path, "claimed.ap", 0, **delegating("project.app"))
    found = Asked(tmp_path, snapshot).begin(APP, "index.json")
    shards = ["1.claimed.ap.json", "1.recently-claimed.a.json", "1.bins.json"]
    assert found == [*shards, bin_of(APP), bin_of("index.json")]


def test_a_session_is_imported_when_it_is_asked_for() -> None:
    assert updater.Session is session.Session
    with pytest.raises(AttributeError, match="nothing"):
        _ = updater.nothing


@pytest.mark.parametrize(
    ("status", "kind"), [(None, DownloadError), (404, DownloadHTTPError), (500, DownloadHTTPError)]
)
def test_no_answer_is_told_from_one_that_says_no(status: int | None, kind: type) -> None:
    error = TransportError("no", url=URL, status=status)
    assert type(fetcher._translate(error)) is kind


def test_roles_are_waited_for_unless_somebody_says_not_to(
    made: MadeRepository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[bool] = []
    asked: list[str] = []
    monkeypatch.setattr(RolesAhead, "warm", lambda roles, role: asked.append(role))
    monkeypatch.setattr(RolesAhead, "begin", lambda roles, paths, *, wait: waits.append(wait))
    with Transport() as transport:
        url = f"{made.folder.as_uri()}/metadata/"
        own = session.Session("made", url, tmp_path / "state", transport, made.root.read_bytes())
        own.prefetch([APP])
        own.prefetch([APP], wait=False)
    assert waits == [False, True, False]
    assert asked == ["targets"]


@pytest.mark.parametrize(
    "content", [b"", b"[]", b"{}", b'{"signed": {"delegations": null}}', b'{"signed": 1}']
)
def test_a_delegator_that_cannot_be_read_names_nobody(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "claimed.json").write_bytes(content)
    roles = Asked(tmp_path, {}).roles
    assert not roles._names_role("claimed", "project.app")
    assert not roles._is_current("claimed")
