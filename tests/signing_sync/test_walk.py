"""A sync with dependencies streams: it publishes on its way, asks once, and goes on when killed."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import NormalizedName

from securepip.signing.offline.rotate import NewKeys, rotate
from securepip.signing.overlay.follow import walk as walks
from securepip.signing.overlay.follow.follower import Follower
from securepip.signing.overlay.follow.trail import Trail
from securepip.signing.overlay.follow.walk import Need, Walk, Want, Wish
from securepip.signing.overlay.judge import Settled
from securepip.signing.overlay.memory import Facts
from securepip.signing.overlay.overlay import Judged, Standing
from securepip.signing.overlay.report import SyncReport
from securepip.signing.overlay.sync import SyncOptions, sync
from securepip.signing.overlay.upstream.sources import open_sources
from securepip.signing.publish.accounted import check_own
from securepip.signing.repository.state import sqlite
from securepip.signing.repository.state.schema import WALK
from securepip.signing.repository.state.sqlite import open_sqlite, private_sqlite
from securepip.signing.repository.state.tokens import Tokens
from securepip.transport import Transport, TransportOptions
from tests.signing_sync.conftest import Sync, let_the_time_be_over
from tests.support.begun import all_answered
from tests.support.indexes import Index
from tests.support.repositories import MadeRepository
from tests.support.wheels import make_wheel, metadata_text

room = sys.modules["securepip.signing.overlay.sync"]  # the package has a function of that name
LIBS = [f"lib{number}" for number in range(9)]
EVERY = sorted(["app", "base", *LIBS])


@pytest.fixture
def graph(index: Index, tmp_path: Path) -> Index:
    """A project that needs nine others, which need one release each of a tenth."""
    index.offer(make_wheel(tmp_path, "app", "1.0", requires=LIBS))
    for number, lib in enumerate(LIBS):
        needs = [f"base<1.{number + 1}"]
        index.offer(make_wheel(tmp_path, lib, "1.0", requires=needs))
        index.offer(make_wheel(tmp_path, "base", f"1.{number}"))
    return index


def _asked(index: Index) -> Counter[str]:
    """How often each page, and each metadata file, was asked for."""
    return Counter(line for line in index.seen if "/simple/" in line or ".metadata" in line)


def _killed(
    overlay: MadeRepository, index: Index, requirements: Sequence[str], after: int
) -> set[str]:
    """A sync that ends when it has done so much; the projects that it has published."""

    def stop(done: int, total: int) -> None:
        if done >= after:
            raise KeyboardInterrupt

    with Transport(TransportOptions(timeout=60, retries=0)) as transport:
        sources = open_sources([index.url], (), transport)
        options = SyncOptions(
            list(map(Requirement, requirements)), with_dependencies=True, publish_projects=1
        )
        with pytest.raises(KeyboardInterrupt):
            sync(overlay.repository, sources, transport, options, progress=stop)
    all_answered()
    return set(overlay.repository.projects())


def test_a_sync_with_dependencies_publishes_on_its_way_and_asks_for_nothing_twice(
    graph: Index, overlay: MadeRepository, run: Sync
) -> None:
    begin = overlay.repository.roles().snapshot.signed.version
    report = run("app", with_dependencies=True, publish_projects=2, dependency_versions=1)
    assert report.signed == EVERY
    assert overlay.repository.roles().snapshot.signed.version == begin + 6
    assert {report.because[NormalizedName(lib)] for lib in LIBS} == {"app"}
    asked = _asked(graph)
    # Nine of them want another release of the last one each: one page, and nine metadata files.
    assert set(asked.values()) == {1}
    assert len(asked) == 11 + 10 + 9
    check_own(overlay.repository)
    graph.seen.clear()
    assert run("app", with_dependencies=True, dependency_versions=1).roles == ()
    assert len(_asked(graph)) == 11


def test_a_killed_sync_has_published_what_it_had_and_the_next_one_asks_only_for_the_rest(
    graph: Index, overlay: MadeRepository, run: Sync, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "_AHEAD", 1)
    there = _killed(overlay, graph, ["app"], after=5)
    assert len(there) >= 3
    check_own(overlay.repository)
    graph.seen.clear()
    report = run("app", with_dependencies=True)
    assert {*there, *report.signed} == set(EVERY) and not there & set(report.signed)
    asked = _asked(graph)
    assert not [line for line in asked if line.split("/")[2] in there]
    assert set(asked.values()) == {1}
    assert f"{len(there)} projects" in report.notices[0]
    check_own(overlay.repository)
    # That was its end: what is asked for from now on begins anew.
    graph.seen.clear()
    assert run("app", with_dependencies=True).notices == []
    assert sum("/simple/" in line for line in _asked(graph)) == len(EVERY)


def test_a_sync_that_gave_something_up_is_no_killed_one(
    graph: Index, overlay: MadeRepository, run: Sync, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next one asks for all: a project that never answers keeps nothing new of others back."""
    with monkeypatch.context() as ending:
        ending.setattr(room, "_AHEAD", 1)
        let_the_time_be_over(ending)
        given_up = run("app", with_dependencies=True)
    assert given_up.problems and given_up.signed
    all_answered()
    graph.seen.clear()
    assert run("app", with_dependencies=True).notices == []
    assert sum("/simple/" in line for line in _asked(graph)) == len(EVERY)


@pytest.mark.parametrize("other", ["another request", "too long ago", "another root"])
def test_nothing_is_left_out_where_the_killed_sync_was_another_one_or_is_long_ago(
    graph: Index,
    overlay: MadeRepository,
    run: Sync,
    monkeypatch: pytest.MonkeyPatch,
    other: str,
) -> None:
    assert _killed(overlay, graph, ["app"], after=5)
    graph.seen.clear()
    if other == "too long ago":
        monkeypatch.setattr(walks, "CONTINUED_SECONDS", 0.0)
    if other == "another root":  # as of a recovery, which goes back to what was signed before
        assert rotate(overlay.repository, "targets", NewKeys(overlay.offline_keys))
    report = run(
        "app", with_dependencies=True, dependency_versions=5 - (other == "another request")
    )
    assert report.notices == []
    assert sum("/simple/" in line for line in _asked(graph)) == len(EVERY)


def test_each_thing_that_decides_what_is_signed_tells_one_request_from_another() -> None:
    def digest(source: str = "https://a.example.org", root: int = 1, **options: Any) -> str:
        given = SyncOptions(**{"requirements": [Requirement("app")], **options})
        # All that is asked of a source is where it is.
        said: str = room._digest(given, [SimpleNamespace(location=source)], root)
        return said

    others = (
        {"source": "https://b.example.org"},
        {"root": 2},
        {"requirements": [Requirement("app>1")]},
        {"requirements": [Requirement("app"), Requirement("lib")]},
        {"constraints": [Requirement("app")]},
        {"constraints": [Requirement("lib<2")]},
        {"accept_loss": frozenset(["app"])},
        {"dependency_versions": 4},
        {"min_age": timedelta(days=1)},
        {"restore": True},
    )
    assert digest() == digest(publish_projects=1, publish_seconds=1.0)
    assert len({digest(), *(digest(**other) for other in others)}) == 1 + len(others)


def test_what_was_wrong_in_a_killed_sync_is_said_by_the_next_one(
    graph: Index, overlay: MadeRepository, run: Sync, tmp_path: Path
) -> None:
    graph.offer(make_wheel(tmp_path, "odd", "1.0", requires=["nowhere", *LIBS]))
    _killed(overlay, graph, ["odd"], after=11)
    report = run("odd", with_dependencies=True)
    assert [problem.project for problem in report.problems] == ["nowhere"]


@pytest.mark.parametrize("odd", ["its files are not there", "other bytes", "quarantine"])
def test_what_was_wrong_with_a_project_whose_page_was_judged_is_said_by_the_next_one_too(
    graph: Index,
    overlay: MadeRepository,
    run: Sync,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    odd: str,
) -> None:
    (file,) = graph.offer(make_wheel(tmp_path, "odd", "2.0"))
    if odd == "its files are not there":
        for name in (file.filename, f"{file.filename}.metadata"):
            graph.raw[f"/files/{name}"] = (404, "text/html", b"gone")
    elif odd == "quarantine":
        graph.status["odd"] = "quarantined"
    else:
        graph.offer(make_wheel(tmp_path, "odd", "1.0"))
        run("odd")
        graph.offer(make_wheel(tmp_path / "other", "odd", "1.0", requires=["base"]))
    monkeypatch.setattr(room, "_AHEAD", 1)
    assert "app" in _killed(overlay, graph, ["odd>=2", "app"], after=4)
    report = run("odd>=2", "app", with_dependencies=True)
    assert "was not ended" in report.notices[0]
    said = [f"{each.project} {each.what}" for each in report.problems] + report.notices[1:]
    assert [line.split()[0] for line in said] == ["odd"]


@pytest.mark.parametrize("is_written", [True, False])
def test_a_page_whose_requirements_do_not_come_in_time_is_written_if_it_was_not_before(
    index: Index, overlay: MadeRepository, run: Sync, tmp_path: Path, is_written: bool
) -> None:
    index.offer(make_wheel(tmp_path, "app", "1.0"))
    run("app")
    app, page = NormalizedName("app"), overlay.repository.page(NormalizedName("app"))
    judged = Judged(app, Standing.UNCHANGED, page, Settled(page), Facts())
    walk, report, unused = Walk(private_sqlite(WALK)), SyncReport(), cast("Any", None)
    walk.name(app, Want(SpecifierSet(), frozenset()))
    reading: list[object] = []
    follower, storage = Follower((), 1), overlay.repository.storage
    trail = Trail(unused, storage, walk, follower, report, reading.append, unused, signs=True)
    assert trail.look(judged, is_written=is_written) is None and len(reading) == 1
    assert trail.give_up() == ([] if is_written else [judged])
    assert [problem.project for problem in report.problems] == ["app"]


def test_a_file_that_cannot_be_read_is_asked_for_once_however_much_is_wanted_of_it(
    index: Index, overlay: MadeRepository, run: Sync, tmp_path: Path
) -> None:
    index.offer(make_wheel(tmp_path, "app", "1.0", requires=["lib", "middle"]))
    index.offer(make_wheel(tmp_path, "middle", "1.0", requires=["lib>=1"]))
    (lost,) = index.offer(make_wheel(tmp_path, "lib", "1.0"))
    for name in (lost.filename, f"{lost.filename}.metadata"):
        index.raw[f"/files/{name}"] = (404, "text/html", b"gone")
    report = run("app", with_dependencies=True)
    assert [problem.project for problem in report.problems] == ["lib"]
    asked = Counter(line for line in index.seen if lost.filename in line)
    assert asked and set(asked.values()) == {1}


def test_a_page_whose_metadata_are_wrong_is_asked_for_once_where_that_is_known_in_time(
    index: Index, overlay: MadeRepository, run: Sync, tmp_path: Path
) -> None:
    (wrong,) = index.offer(make_wheel(tmp_path, "app", "1.0"))
    wrong.metadata = metadata_text("app", "1.0", ["forged"]).encode()
    index.serves_metadata = False
    assert run("app", with_dependencies=True).signed == ["app"]
    page = overlay.repository.page(NormalizedName("app"))
    assert page is not None and page.files[0].core_metadata is None
    assert sum("/simple/app/" in line for line in index.seen) == 1


@pytest.mark.parametrize("publish_projects", [1, 50_000])
def test_a_page_that_was_signed_before_its_metadata_was_found_to_be_wrong_is_signed_again(
    index: Index, overlay: MadeRepository, run: Sync, tmp_path: Path, publish_projects: int
) -> None:
    """Also where another publication, of what it requires, comes between."""
    index.offer(make_wheel(tmp_path, "app", "1.0", requires=["lib<2", "middle"]))
    index.offer(make_wheel(tmp_path, "middle", "1.0", requires=["lib>=2"]))
    index.offer(make_wheel(tmp_path, "lib", "1.0"))
    (wrong,) = index.offer(make_wheel(tmp_path, "lib", "2.0", requires=["deep"]))
    wrong.metadata = metadata_text("lib", "2.0", ["forged"]).encode()
    index.serves_metadata = False
    index.offer(make_wheel(tmp_path, "deep", "1.0"))
    report = run("app", with_dependencies=True, publish_projects=publish_projects)
    assert "deep" in report.signed and "forged" not in report.signed
    page = overlay.repository.page(NormalizedName("lib"))
    assert page is not None
    assert {file.filename: file.core_metadata is None for file in page.files} == {
        "lib-1.0-py3-none-any.whl": False,
        "lib-2.0-py3-none-any.whl": True,
    }
    check_own(overlay.repository)
    assert run("app", with_dependencies=True).roles == ()


def test_a_walk_remembers_what_is_published_and_asks_again_for_all_else() -> None:
    walk = Walk(private_sqlite(WALK))
    app, lib, base = map(NormalizedName, ("app", "lib", "base"))
    anything, old = Want(SpecifierSet(), frozenset()), Want(SpecifierSet("<2"), frozenset())
    assert walk.begin("this", 100.0) == 0
    assert walk.name(app, anything) and not walk.name(app, anything)
    walk.settle(app, walk.wants(app), _needs(app, (lib, anything), (base, old)))
    assert _all(walk.next() for _ in range(2)) == [lib, base] and walk.next() is None
    walk.settle(lib, walk.wants(lib), _needs(lib, (base, anything)))
    walk.published()
    # The want of one that is under way is followed when it is settled.
    assert walk.wants(base) == [anything, old] and walk.again() is None
    assert walk.begin("this", 200.0) == 2
    assert _all([walk.next()]) == [base] and walk.next() is None
    walk.settle(base, [anything], [])
    assert walk.again() == base and walk.wants(base) == [old]
    walk.settle(base, [old], [], later=True)
    assert walk.next() is None and walk.waiting() == 0
    walk.published()
    assert _all([walk.next()]) == [base]
    walk.settle(base, [], [])
    assert walk.waiting() == 0
    walk.trouble(base)
    walk.published()
    assert walk.begin("this", 300.0) == 2 and _all([walk.next()]) == [base]
    assert walk.begin("another", 300.0) == 0 and walk.next() is None


def test_a_walk_that_began_in_the_future_is_begun_anew() -> None:
    walk = Walk(private_sqlite(WALK))
    walk.begin("this", 100.0)
    walk.name(NormalizedName("app"), None)
    assert walk.begin("this", 99.0) == 0 and walk.next() is None


def test_a_wish_is_as_certain_as_the_most_certain_of_those_who_have_it() -> None:
    walk = Walk(private_sqlite(WALK))
    app, lib = map(NormalizedName, ("app", "lib"))
    want = Want(SpecifierSet(), frozenset())
    walk.begin("this", 100.0)
    walk.name(app, want)
    for certain, now in ((False, False), (True, True), (False, True)):
        walk.settle(app, [], [Need(Wish(lib, app, named=False, certain=certain), want)])
        assert walk.wish(lib) == Wish(lib, app, named=False, certain=now)
    walk.settle(lib, [], [Need(Wish(NormalizedName("x"), lib, named=False, certain=False), want)])
    assert not walk.name(NormalizedName("x"), want)
    assert walk.wish(NormalizedName("x")) == Wish(NormalizedName("x"), lib)


def test_what_was_wrong_and_is_right_when_it_is_looked_at_again_is_published() -> None:
    walk = Walk(private_sqlite(WALK))
    app = NormalizedName("app")
    walk.begin("this", 100.0)
    walk.name(app, None)
    walk.trouble(app)
    walk.settle(app, [], [])
    assert walk.begin("this", 200.0) == 0 and _all([walk.next()]) == [app]
    walk.settle(app, [], [])
    walk.published()
    assert walk.begin("this", 300.0) == 1 and walk.next() is None


def test_what_is_wrong_with_a_project_that_was_published_before_is_found_again() -> None:
    walk = Walk(private_sqlite(WALK))
    app = NormalizedName("app")
    anything, old = Want(SpecifierSet(), frozenset()), Want(SpecifierSet("<2"), frozenset())
    walk.begin("this", 100.0)
    walk.name(app, anything)
    walk.settle(app, [anything], [])
    walk.published()
    walk.name(app, old)
    assert walk.again() == app
    walk.settle(app, [old], [])
    walk.trouble(app)
    walk.published()
    # Nobody was told yet: the run is killed here.
    assert walk.begin("this", 200.0) == 0
    assert _all([walk.next()]) == [app] and walk.wants(app) == [anything, old]


def test_while_a_sync_waits_for_its_network_others_may_write_what_needs_no_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "_WAIT_SECONDS", 0.01)
    app, lib = map(NormalizedName, ("app", "lib"))
    want = Want(SpecifierSet(), frozenset())
    with (
        closing(open_sqlite(tmp_path / "file")) as here,
        closing(open_sqlite(tmp_path / "file")) as there,
    ):
        walk, tokens = Walk(here), Tokens(there)
        walk.begin("this", 100.0)
        for step in (
            lambda: walk.name(app, want),
            lambda: walk.settle(app, [want], _needs(app, (lib, want))),
            walk.next,
            lambda: walk.trouble(lib),
        ):
            step()
            token, _ = tokens.create(None)
            assert tokens.revoke(token.id)


def _needs(project: NormalizedName, *wanted: tuple[NormalizedName, Want]) -> list[Need]:
    return [Need(Wish(needed, project, named=False), want) for needed, want in wanted]


def _all(wishes: Iterable[Wish | None]) -> list[NormalizedName]:
    return [wish.project for wish in wishes if wish is not None]
