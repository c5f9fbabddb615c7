"""A sync of many projects: published now and then, and so not lost when it ends early."""

from __future__ import annotations

import sys
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import NormalizedName

from securepip.signing.overlay import memory as memories
from securepip.signing.overlay.ask import Offered, Question, Reader
from securepip.signing.overlay.memory import Facts, Memory
from securepip.signing.overlay.sync import SyncOptions, sync
from securepip.signing.overlay.upstream.files import UpstreamFiles
from securepip.signing.overlay.upstream.page import UpstreamPage
from securepip.signing.overlay.upstream.sources import open_sources
from securepip.signing.overlay.work import readers
from securepip.signing.publish.accounted import check_own
from securepip.signing.repository.state.schema import STEPS
from securepip.signing.repository.state.sqlite import private_sqlite
from securepip.transport import Transport, TransportOptions
from tests.signing_sync.conftest import Sync
from tests.support.begun import all_answered
from tests.support.indexes import Index
from tests.support.repositories import MadeRepository
from tests.support.wheels import make_wheel

room = sys.modules["securepip.signing.overlay.sync"]  # the package has a function of that name
NAMES = [f"p{number}" for number in range(12)]


@pytest.fixture
def offered(index: Index, tmp_path: Path) -> Index:
    for name in NAMES:
        index.offer(make_wheel(tmp_path, name, "1.0"))
    return index


def _snapshots(overlay: MadeRepository) -> int:
    return overlay.repository.roles().snapshot.signed.version


def test_each_known_project_comes_once_although_only_some_are_looked_up_at_a_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(memories, "_AT_A_TIME", 2)
    connection = private_sqlite(STEPS[0])
    pages = [(project, role, "") for project in "abdefh" for role in ("bin-0", "bin-1")]
    connection.executemany("INSERT INTO known_page VALUES (?, ?, ?)", pages)
    memory = Memory(connection)
    memory.keep_projects(map(NormalizedName, "bfgi"))
    assert [*memory.each_known()] == [(project, project in "bfgi") for project in "abdefghi"]


def test_a_sync_publishes_after_so_many_projects_and_after_so_long(
    offered: Index, overlay: MadeRepository, run: Sync
) -> None:
    begin = _snapshots(overlay)
    report = run(*NAMES[:6], publish_projects=2)
    assert report.signed == NAMES[:6] and _snapshots(overlay) == begin + 3
    begin = _snapshots(overlay)
    assert run(*NAMES[6:], publish_seconds=0.0).files == 6
    assert _snapshots(overlay) >= begin + 3
    begin = _snapshots(overlay)
    report = run(publish_seconds=0.0)
    assert (report.signed, report.unchanged, _snapshots(overlay)) == ([], 12, begin)
    assert overlay.repository.rebuild_known() == []


def test_a_sync_that_ends_early_has_published_what_it_had_and_the_next_one_does_the_rest(
    offered: Index,
    overlay: MadeRepository,
    run: Sync,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(room, "NOTED", 0)

    def stop(done: int, total: int) -> None:
        if done > 5:
            raise KeyboardInterrupt

    with Transport(TransportOptions(timeout=60, retries=0)) as transport:
        sources = open_sources([offered.url], (), transport)
        options = SyncOptions(_requirements(NAMES), publish_projects=2)
        with pytest.raises(KeyboardInterrupt):
            sync(overlay.repository, sources, transport, options, progress=stop)
    all_answered()
    there = overlay.repository.projects()
    assert 2 <= len(there) <= 6
    check_own(overlay.repository)
    asked = len(offered.seen)
    report = run(*NAMES)
    assert sorted([*there, *report.signed]) == sorted(NAMES)
    assert len(offered.seen) > asked
    check_own(overlay.repository)
    assert overlay.repository.rebuild_known() == []


def test_where_an_index_counts_changes_only_what_changed_is_asked_for(
    offered: Index, run: Sync, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "NOTED", 0)
    offered.serials = dict.fromkeys(NAMES, 7)
    run(*NAMES)
    offered.seen.clear()
    assert run().unchanged == len(NAMES)
    assert offered.seen == ["GET /simple/"]
    offered.offer(make_wheel(tmp_path, "p3", "2.0"))
    offered.serials["p3"] = 8
    offered.seen.clear()
    assert run().signed == ["p3"]
    assert offered.seen == ["GET /simple/", "GET /simple/p3/"]


def test_a_number_of_changes_that_nothing_follows_hides_no_release(
    offered: Index, run: Sync, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever could once answer in the place of the index would have stopped a project for ever."""
    monkeypatch.setattr(room, "NOTED", 0)
    offered.serials = {**dict.fromkeys(NAMES, 7), "p3": 10**9}
    run(*NAMES)
    offered.serials["p3"] = 8
    offered.offer(make_wheel(tmp_path, "p3", "2.0"))
    assert run().signed == ["p3"]


def test_no_more_answers_are_under_way_than_are_needed(
    offered: Index, overlay: MadeRepository, run: Sync, monkeypatch: pytest.MonkeyPatch
) -> None:
    most: list[int] = []
    submit = room.Work.submit

    def counted(self: Any, call: Any) -> None:
        submit(self, call)
        most.append(self.under_way)

    monkeypatch.setattr(room, "_AHEAD", 3)
    monkeypatch.setattr(room, "NOTED", 0)
    monkeypatch.setattr(room.Work, "submit", counted)
    assert run(*NAMES).signed == sorted(NAMES)
    assert max(most) == 3


@pytest.fixture
def read_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let other processes read, also for the few projects of a test."""
    monkeypatch.setattr(readers, "MANY", 1)


@pytest.mark.usefixtures("read_elsewhere")
def test_what_other_processes_read_is_signed_and_counted_as_if_it_was_read_here(
    offered: Index, overlay: MadeRepository, run: Sync, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "NOTED", 0)
    offered.raw["/simple/p2/"] = (200, "text/plain", b"no page")
    report = run(*NAMES, "not-there")
    assert report.signed == sorted(set(NAMES) - {"p2"})
    assert sorted(str(each.project) for each in report.problems) == ["not-there", "p2"]
    assert any("p2/ is not a project page" in str(each) for each in report.problems)
    assert report.requests == len(offered.seen) and report.received > 1000
    check_own(overlay.repository)
    del offered.raw["/simple/p2/"]
    report = run(*NAMES)
    assert (report.signed, report.unchanged) == (["p2"], len(NAMES) - 1)


@pytest.mark.usefixtures("read_elsewhere")
def test_a_process_that_is_killed_while_it_reads_costs_its_projects_alone(
    offered: Index, overlay: MadeRepository, run: Sync, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "NOTED", 0)
    submit = readers.Readers.submit

    def killing(self: Any, question: Any, answer: Any) -> None:
        submit(self, question, answer)
        if question.project == NAMES[3]:
            for process in self._processes:
                process._process.kill()
                process._process.join()

    with monkeypatch.context() as patched:
        patched.setattr(readers.Readers, "submit", killing)
        report = run(*NAMES)
    assert len(report.signed) + len(report.problems) == len(NAMES)
    assert any("has come to an end" in str(each) for each in report.problems)
    check_own(overlay.repository)
    assert run(*NAMES).problems == []


class _TooMuch(UpstreamPage):
    """A page that there is no memory for twice."""

    def __reduce__(self) -> str:
        raise MemoryError


class _Overwhelmed(Reader):
    """Answers with one."""

    def read(self, question: Question) -> Offered:
        return Offered(question.project, page=_TooMuch(question.project))


def test_an_answer_that_cannot_be_handed_on_is_an_error_and_not_waited_for() -> None:
    answers: SimpleQueue[Offered] = SimpleQueue()
    question = Question(NormalizedName("p1"), None, "", None, Facts(), False, False)
    with Transport(TransportOptions()) as transport:
        reader = _Overwhelmed((), {}, UpstreamFiles((), transport))
        elsewhere = readers.Readers(reader, transport)
        try:
            elsewhere.submit(question, answers.put)
            answer = answers.get(timeout=30)
        finally:
            elsewhere.close()
    assert answer.project == "p1"
    assert "cannot be handed on" in str(answer.error)


def _requirements(names: list[str]) -> list[Requirement]:
    return [Requirement(name) for name in names]
