"""What a sync signs, leaves out, remembers and reports."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from packaging.utils import NormalizedName

from securepip.errors import UsageError
from securepip.formats.digests import sha256_of
from securepip.formats.page import JSON_TYPE, ProjectPage, format_time
from securepip.signing.overlay import SyncReport, details
from securepip.signing.overlay.upstream import simple_api
from securepip.signing.overlay.upstream.page import Reason, UpstreamPage
from securepip.signing.overlay.upstream.places import http_index
from securepip.signing.overlay.upstream.sources import open_sources
from securepip.signing.overlay.work import threads
from securepip.signing.publish.remove import remove
from securepip.transport import Transport
from tests.signing_sync.conftest import Sync
from tests.support.indexes import Index, project, serve_index
from tests.support.repositories import MadeRepository
from tests.support.wheels import make_sdist, make_wheel


def page_of(overlay: MadeRepository, name: str) -> ProjectPage:
    page = overlay.repository.page(project(name))
    assert page is not None
    return page


def reasons(report: SyncReport, name: str) -> dict[str, Reason]:
    return {each.filename: each.reason for each in report.left_out.get(project(name), ())}


def test_a_json_index_is_signed_with_everything_it_says(
    index: Index, overlay: MadeRepository, run: Sync, tmp_path: Path
) -> None:
    wheel, sdist = index.offer(
        make_wheel(tmp_path, "app", "1.0"), make_sdist(tmp_path, "app", "1.0")
    )
    wheel.fields = {"requires-python": ">=3.8", "yanked": "broken"}
    report = run("app")
    assert (report.signed, report.problems) == (["app"], [])
    signed = page_of(overlay, "app").file(wheel.filename)
    assert signed is not None
    assert signed.url == f"http://{index.host}/files/{wheel.filename}"
    assert (signed.sha256, signed.size) == (wheel.sha256, len(wheel.data))
    assert (signed.requires_python, signed.yanked) == (">=3.8", "broken")
    assert signed.core_metadata == sha256_of(wheel.metadata or b"")
    assert signed.upload_time == datetime(2020, 1, 1, tzinfo=timezone.utc)
    assert page_of(overlay, "app").file(sdist.filename) is not None
    # The second one says what it requires, so that the operator can be told.
    assert index.seen == ["GET /simple/app/", f"GET /files/{wheel.filename}.metadata"]


def test_no_distribution_is_copied_into_the_repository(
    index: Index, overlay: MadeRepository, run: Sync, tmp_path: Path
) -> None:
    index.offer(make_wheel(tmp_path, "app", "1.0"))
    run("app")
    assert not list(overlay.folder.rglob("*.whl"))


def test_html_without_lengths_is_completed_in_one_request_for_the_whole_project(
    index: Index, overlay: MadeRepository, run: Sync, tmp_path: Path
) -> None:
    index.speaks_json, index.says_metadata, index.has_api = False, False, True
    files = index.offer(*(make_wheel(tmp_path, "app", f"1.{n}") for n in range(5)))
    report = run("app", min_age=timedelta(days=7))
    assert (report.files, report.problems, report.left_out) == (5, [], {})
    assert index.seen[:2] == ["GET /simple/app/", "GET /pypi/app/json"]
    assert not any(line.endswith(".whl") for line in index.seen)
    signed = page_of(overlay, "app").files[0]
    assert (signed.size, signed.core_metadata) == (
        len(files[0].data),
        sha256_of(files[0].metadata or b""),
    )


def test_the_json_api_counts_only_for_a_file_with_the_same_digest(
    index: Index, run: Sync, tmp_path: Path
) -> None:
    index.says_sizes, index.has_api = False, True
    (file,) = index.offer(make_wheel(tmp_path, "app", "1.0"))
    index.raw[f"/files/{file.filename}"] = (500, "text/plain", b"")
    entry = {"filename": file.filename, "digests": {"sha256": "0" * 64}, "size": 7}
    body = json.dumps({"releases": {"1.0": [entry, {"odd": 1}, 3]}}).encode()
    index.raw["/pypi/app/json"] = (200, "application/json", body)
    report = run("app")
    assert reasons(report, "app") == {file.filename: Reason.NO_LENGTH}


def test_lengths_are_asked_for_one_by_one_at_worst_and_remembered(
    index: Index, overlay: MadeRepository, run: Sync, tmp_path: Path
) -> None:
    index.speaks_json = False
    index.offer(*(make_wheel(tmp_path, "app", f"1.{n}") for n in range(5)))
    assert run("app").files == 5
    # One for the length, one to see whether it is true.
    assert sum(line.endswith(".whl") for line in index.seen) == 2 * 5
    index.offer(make_wheel(tmp_path, "app", "2.0"))
    index.seen.clear()
    assert run("app").files == 6
    assert [line for line in index.seen if line.endswith(".whl")] == [
        "GET /files/app-2.0-py3-none-any.whl"
    ] * 2


def test_questions_for_lengths_are_bounded_newest_first_and_the_next_sync_goes_on(
    index: Index, run: Sync, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(details, "MAX_LENGTHS", 2)
    index.speaks_json = False
    index.offer(*(make_wheel(tmp_path, "app", f"1.{n}") for n in range(4)))
    report = run("app")
    assert set(reasons(report, "app")) == {"app-1.0-py3-none-any.whl", "app-1.1-py3-none-any.whl"}
    assert report.problems == []
    assert run("app").files == 4


def test_metadata_files_that_nobody_tells_of_are_tried_a_few_times_and_never_again(
    index: Index, overlay: MadeRepository, run: Sync, tmp_path: Path
) -> None:
    index.says_metadata, index.serves_metadata = False, False
    index.offer(*(make_wheel(tmp_path, "app", f"1.{n}") for n in range(20)))
    run("app")
    tried = [line for line in index.seen if line.endswith(".metadata")]
    newest = (f"GET /files/app-1.{n}-py3-none-any.whl.metadata" for n in (17, 18, 19))
    assert sorted(tried) == sorted(newest)
    index.seen.clear()
    assert run("app").unchanged == 1
    assert index.seen == ["GET /simple/app/"]


def test_metadata_files_found_by_trying_are_signed_and_kept(
    index: Index, overlay: MadeRepository, run: Sync, tmp_path: Path
) -> None:
    index.says_metadata = False
    (file,) = index.offer(make_wheel(tmp_path, "app", "1.0"))
    run("app")
    index.offer(make_wheel(tmp_path, "app", "2.0"))
    index.seen.clear()
    run("app")
    assert "GET /files/app-1.0-py3-none-any.whl.metadata" not in index.seen
    signed = page_of(overlay, "app").file(file.filename)
    assert signed is not None
    assert signed.core_metadata == sha256_of(file.metadata or b"")


def test_an_unchanged_page_costs_no_signature_and_with_an_etag_no_bytes(
    index: Index, run: Sync, tmp_path: Path
) -> None:
    index.etags = True
    index.offer(make_wheel(tmp_path, "app", "1.0"))
    assert run("app").signed == ["app"]
    again = run("app")
    assert (again.signed, again.unchanged, again.roles, again.received) == ([], 1, (), 0)


def test_without_names_everything_signed_before_is_brought_up_to_date(
    index: Index, overlay: MadeRepository, run: Sync, tmp_path: Path
) -> None:
    index.offer(make_wheel(tmp_path, "app", "1.0"), make_wheel(tmp_path, "lib", "1.0"))
    run("app", "lib")
    index.offer(make_wheel(tmp_path, "lib", "2.0"))
    report = run()
    assert (report.signed, report.unchanged) == (["lib"], 1)


def test_a_project_of_the_repository_itself_is_never_asked_for_elsewhere(
    index: Index, overlay: MadeRepository, run: Sync, tmp_path: Path
) -> None:
    overlay.add(make_wheel(tmp_path, "internal", "1.0"))
    index.offer(make_wheel(tmp_path, "internal", "99.0"))
    index.offer(make_wheel(tmp_path, "app", "1.0", requires=["internal"]))
    run()
    report = run("app", with_dependencies=True)
    assert "GET /simple/internal/" not in index.seen
    assert len(page_of(overlay, "internal").files) == 1
    assert report.problems == []
    assert "own" in str(run("internal").problems[0])


def test_a_project_of_which_every_file_was_removed_stays_whose_it_was(
    index: Index, overlay: MadeRepository, run: Sync, tmp_path: Path
) -> None:
    index.offer(*(make_wheel(tmp_path, name, "1.0") for name in ("app", "taken")))
    run("app", "taken")
    overlay.add(make_wheel(tmp_path / "own", "taken", "1.1"), make_wheel(tmp_path, "own", "1.0"))
    for what in ("app==1.0", "taken==1.0", "taken==1.1", "own==1.0"):
        remove(overlay.repository, what)
    assert (run("app").signed, page_of(overlay, "app").files) == ([], ())
    # What was bad is mended by the next release; a stranger's of the same name mends nothing.
    index.offer(*(make_wheel(tmp_path, name, "2.0") for name in ("app", "taken", "own")))
    report = run("app", "taken", "own")
    assert [each.filename for each in page_of(overlay, "app").files] == ["app-2.0-py3-none-any.whl"]
    assert report.signed == ["app"]
    assert not page_of(overlay, "taken").files + page_of(overlay, "own").files


def test_files_added_here_stay_on_the_page_and_win(
    index: Index, overlay: MadeRepository, run: Sync, tmp_path: Path
) -> None:
    index.offer(make_wheel(tmp_path / "a", "app", "1.0"))
    run("app")
    overlay.add(make_wheel(tmp_path / "b", "app", "1.1"))
    index.offer(make_wheel(tmp_path / "c", "app", "1.1", requires=["evil"]))
    report = run("app")
    signed = page_of(overlay, "app").file("app-1.1-py3-none-any.whl")
    assert signed is not None
    assert signed.url.startswith("../../packages/")
    assert report.problems == []


def test_credentials_are_used_and_never_published(
    index: Index, overlay: MadeRepository, run: Sync, tmp_path: Path
) -> None:
    index.credentials, index.says_metadata, index.says_sizes = "me:secret", False, False
    index.offer(make_wheel(tmp_path, "app", "1.0", requires=["lib"]))
    index.offer(make_wheel(tmp_path, "lib", "1.0"))
    report = run("app", with_dependencies=True)
    assert (report.signed, report.problems) == (["app", "lib"], [])
    for path in overlay.folder.rglob("*"):
        assert not path.is_file() or b"secret" not in path.read_bytes(), path


def test_without_its_credentials_an_index_is_an_error_that_names_it(
    index: Index, run: Sync
) -> None:
    index.credentials = "me:secret"
    report = run("app", indexes=[f"http://{index.host}/simple/"])
    assert f"http://{index.host}/simple/app/" in str(report.problems[0])


@pytest.mark.parametrize(
    "query",
    [
        "X-Amz-Signature=00",
        "Expires=1",
        "Signature=x",
        "sig=x&se=2030",
        "token=abc",
        "access_token=abc",
        "X-Goog-Credential=x",
        "Key-Pair-Id=x",
        "__token__=exp",
    ],
)
def test_a_url_with_a_signature_or_an_expiry_is_refused(
    index: Index, run: Sync, tmp_path: Path, query: str
) -> None:
    bad, good = index.offer(make_wheel(tmp_path, "app", "1.0"), make_wheel(tmp_path, "app", "2.0"))
    bad.url += f"?{query}"
    good.url += "?version=3"
    report = run("app")
    assert reasons(report, "app") == {bad.filename: Reason.SIGNED_URL}


def test_a_file_younger_than_the_minimum_age_waits_and_is_signed_when_it_is_due(
    index: Index, overlay: MadeRepository, run: Sync, tmp_path: Path
) -> None:
    old, young = index.offer(make_wheel(tmp_path, "app", "1.0"), make_wheel(tmp_path, "app", "2.0"))
    young.upload_time = format_time(datetime.now(timezone.utc) - timedelta(days=6))
    report = run("app", min_age=timedelta(days=7))
    assert reasons(report, "app") == {young.filename: Reason.TOO_YOUNG}
    assert report.problems == []
    assert [f.filename for f in page_of(overlay, "app").files] == [old.filename]
    with overlay.repository.ledger.connection as connection:
        connection.execute("UPDATE upstream_page SET review_at = 0")
    assert run("app", min_age=timedelta(days=7)).unchanged == 1
    assert run("app", min_age=timedelta(days=5)).files == 2


@pytest.mark.parametrize(("minutes", "is_said"), [(5, False), (60, True)])
def test_a_file_from_the_future_tells_once_that_the_clock_is_wrong_and_is_signed(
    index: Index, run: Sync, tmp_path: Path, minutes: int, is_said: bool
) -> None:
    moment = datetime.now(timezone.utc) + timedelta(minutes=minutes)
    for wheel in (make_wheel(tmp_path, "app", "1.0"), make_wheel(tmp_path, "lib", "1.0")):
        index.offer(wheel)[0].upload_time = format_time(moment)
    report = run("app", "lib")
    assert report.files == 2
    assert [f"{moment:%Y-%m-%d %H:%M UTC}" in notice for notice in report.notices] == (
        [True] if is_said else []
    )


def test_a_minimum_age_without_upload_times_is_an_error(
    index: Index, run: Sync, tmp_path: Path
) -> None:
    index.speaks_json = False
    index.offer(make_wheel(tmp_path, "app", "1.0"))
    report = run("app", min_age=timedelta(days=7))
    assert "upload time" in str(report.problems[0])
    assert report.files == 0


def test_a_changed_file_stays_as_it_was_signed_while_everything_else_is_signed(
    index: Index, overlay: MadeRepository, run: Sync, tmp_path: Path
) -> None:
    index.offer(make_wheel(tmp_path / "a", "app", "1.0"), make_wheel(tmp_path, "lib", "1.0"))
    run("app", "lib")
    before = page_of(overlay, "app").files[0].sha256
    (changed,) = index.offer(make_wheel(tmp_path / "b", "app", "1.0", requires=["evil"]))
    index.offer(make_wheel(tmp_path, "app", "1.1"), make_wheel(tmp_path, "lib", "1.1"))
    for _ in range(2):
        report = run("app", "lib")
        assert reasons(report, "app") == {changed.filename: Reason.CHANGED}
        assert len(report.problems) == 1
    # What was signed stays: clients refuse the new bytes, and do not step back without a word.
    page = page_of(overlay, "app")
    assert [f.sha256 for f in page.files if f.filename == changed.filename] == [before]
    assert page.file("app-1.1-py3-none-any.whl") is not None
    assert len(page_of(overlay, "lib").files) == 2
    overlay.repository.ledger.accept_change(changed.filename)
    assert run("app").problems == []
    accepted = page_of(overlay, "app").file(changed.filename)
    assert accepted is not None
    assert accepted.sha256 == changed.sha256


def test_an_index_that_changes_a_file_again_after_a_person_accepted_it_stops_no_other_project(
    index: Index, overlay: MadeRepository, run: Sync, tmp_path: Path
) -> None:
    index.offer(make_wheel(tmp_path / "a", "app", "1.0"), make_wheel(tmp_path, "lib", "1.0"))
    run("app", "lib")
    signed = page_of(overlay, "app").files[0]
    index.offer(make_wheel(tmp_path / "b", "app", "1.0", requires=["b"]))
    run("app", "lib")
    overlay.repository.ledger.accept_change(signed.filename)
    (third,) = index.offer(make_wheel(tmp_path / "c", "app", "1.0", requires=["c"]))
    index.offer(make_wheel(tmp_path, "app", "1.1"), make_wheel(tmp_path, "lib", "1.1"))
    report = run("app", "lib")
    assert reasons(report, "app") == {signed.filename: Reason.CHANGED}
    assert page_of(overlay, "app").file(signed.filename) == signed
    assert report.signed == ["app", "lib"]
    refused = overlay.repository.ledger.refused_as(signed.filename)
    assert refused == [(project("app"), third.sha256)]


def test_no_page_is_signed_that_is_longer_than_clients_take(
    index: Index, run: Sync, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    index.offer(*(make_wheel(tmp_path, "app", f"1.{n}") for n in range(9)))
    index.offer(make_wheel(tmp_path, "lib", "1.0"))
    monkeypatch.setattr("securepip.formats.page.MAX_PAGE_BYTES", 2_000)
    report = run("app", "lib")
    assert report.signed == ["lib"]
    (problem,) = report.problems
    assert "the page of app is longer than 2000 bytes" in str(problem)


def test_bytes_are_remembered_after_their_file_disappeared(
    index: Index, run: Sync, tmp_path: Path
) -> None:
    first, _ = index.offer(
        make_wheel(tmp_path / "a", "app", "1.0"), make_wheel(tmp_path, "app", "2.0")
    )
    run("app")
    index.withdraw("app", first.filename)
    assert run("app").problems == []
    index.offer(make_wheel(tmp_path / "b", "app", "1.0", requires=["evil"]))
    assert reasons(run("app"), "app") == {first.filename: Reason.CHANGED}


def test_what_was_removed_is_not_signed_again_unless_restored(
    index: Index, overlay: MadeRepository, run: Sync, tmp_path: Path
) -> None:
    index.offer(make_wheel(tmp_path, "app", "1.0"), make_wheel(tmp_path, "app", "2.0"))
    run("app")
    remove(overlay.repository, "app==1.0")
    report = run("app")
    assert set(reasons(report, "app").values()) == {Reason.WITHDRAWN}
    assert report.files == 1
    assert run("app", restore=True).files == 2


def test_what_was_revoked_by_a_killed_run_leaves_the_page_though_its_hash_is_gone(
    index: Index, overlay: MadeRepository, run: Sync, tmp_path: Path
) -> None:
    """A killed `repo remove` has revoked the file, and the page still has it."""
    bad, good = index.offer(make_wheel(tmp_path, "app", "1.0"), make_wheel(tmp_path, "app", "2.0"))
    run("app")
    overlay.repository.ledger.withdraw(project("app"), filename=bad.filename)
    entries: list[dict[str, object]] = [
        {"filename": bad.filename, "url": bad.url, "hashes": {"md5": "0" * 32}},
        {"filename": good.filename, "url": good.url, "hashes": {"sha256": good.sha256}},
    ]
    body = json.dumps({"meta": {"api-version": "1.0"}, "name": "app", "files": entries}).encode()
    index.raw["/simple/app/"] = (200, "application/vnd.pypi.simple.v1+json", body)
    assert run("app").signed == ["app"]
    assert [file.filename for file in page_of(overlay, "app").files] == [good.filename]


def test_a_page_that_loses_most_of_its_files_is_held_back(
    index: Index, overlay: MadeRepository, run: Sync, tmp_path: Path
) -> None:
    files = index.offer(*(make_wheel(tmp_path, "app", f"1.{n}") for n in range(5)))
    index.offer(make_wheel(tmp_path, "lib", "1.0"))
    run("app", "lib")
    index.withdraw("app", *(file.filename for file in files[:3]))
    index.offer(make_wheel(tmp_path, "lib", "1.1"))
    report = run()
    assert "--accept-loss app" in str(report.problems[0])
    assert report.signed == ["lib"]
    assert len(page_of(overlay, "app").files) == 5
    assert run("app", accept_loss=frozenset({project("app")})).files == 2


def test_a_project_of_which_every_file_changed_stays_signed_and_is_said_until_a_person_decides(
    index: Index, overlay: MadeRepository, run: Sync, tmp_path: Path
) -> None:
    honest = index.offer(
        make_wheel(tmp_path / "a", "app", "1.0"), make_wheel(tmp_path / "a", "app", "2.0")
    )
    run("app")
    index.offer(
        make_wheel(tmp_path / "b", "app", "1.0", requires=["evil"]),
        make_wheel(tmp_path / "b", "app", "2.0", requires=["evil"]),
    )
    for _ in range(2):
        report = run()
        assert len(report.problems) == 2
        assert [f.sha256 for f in page_of(overlay, "app").files] == [f.sha256 for f in honest]
    index.projects["app"] = {file.filename: file for file in honest}
    assert run().problems == []


def test_a_page_is_never_emptied_by_its_index_and_a_name_never_forgotten(
    index: Index, overlay: MadeRepository, run: Sync, tmp_path: Path
) -> None:
    index.offer(make_wheel(tmp_path, "app", "1.0"))
    run("app")
    empty = {"meta": {"api-version": "1.1"}, "name": "app", "files": []}
    index.raw["/simple/app/"] = (200, JSON_TYPE, json.dumps(empty).encode())
    for _ in range(2):
        assert "--accept-loss app" in str(run().problems[0])
        assert len(page_of(overlay, "app").files) == 1
    index.raw.clear()
    index.status["app"] = "quarantined"
    report = run()
    assert report.removed == ["app"]
    assert "quarantine" in report.notices[0]
    assert "quarantine" in run().notices[0]
    index.status.clear()
    assert run().signed == ["app"]
    remove(overlay.repository, "app")
    index.seen.clear()
    run()
    assert index.seen == []


def test_a_project_that_its_index_forgets_is_held_back(
    index: Index, overlay: MadeRepository, run: Sync, tmp_path: Path
) -> None:
    index.offer(make_wheel(tmp_path, "app", "1.0"))
    run("app")
    index.withdraw("app")
    assert "no index knows it any more" in str(run().problems[0])
    assert len(page_of(overlay, "app").files) == 1
    assert run(accept_loss=frozenset({project("app")})).removed == ["app"]
    assert overlay.repository.page(project("app")) is None


@pytest.mark.parametrize("speaks_json", [True, False])
def test_a_project_in_quarantine_is_taken_out(
    index: Index, overlay: MadeRepository, run: Sync, tmp_path: Path, speaks_json: bool
) -> None:
    index.speaks_json = speaks_json
    index.offer(*(make_wheel(tmp_path, "app", f"1.{n}") for n in range(5)))
    run("app")
    index.status["app"] = "quarantined"
    report = run()
    assert (report.removed, report.problems) == (["app"], [])
    assert overlay.repository.page(project("app")) is None


def test_an_unknown_project_is_an_error_each_time_and_the_others_are_signed(
    index: Index, run: Sync, tmp_path: Path
) -> None:
    index.offer(make_wheel(tmp_path, "app", "1.0"))
    report = run("app", "nonesuch")
    assert report.signed == ["app"]
    for outcome in (report, run("app", "nonesuch")):
        assert f"nonesuch: not known to http://{index.host}/simple/" in str(outcome.problems[0])


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("application/vnd.pypi.simple.v1+json", b"{"),
        ("application/vnd.pypi.simple.v1+json", b"[" * 100_000),
        ("application/vnd.pypi.simple.v1+json", b'{"meta": {"api-version": "2.0"}}'),
        (
            "application/vnd.pypi.simple.v1+json",
            b'{"meta": {"api-version": "1.0"}, "name": "other", "files": []}',
        ),
        ("text/html", b'<meta name="pypi:repository-version" content="2.0">'),
        ("text/html", b'<meta name="pypi:project-status" content="exploded">'),
        ("image/png", b"\x89PNG"),
        ("", b""),
    ],
)
def test_an_unreadable_page_is_an_error_and_the_others_are_signed(
    index: Index, run: Sync, tmp_path: Path, kind: str, body: bytes
) -> None:
    index.offer(make_wheel(tmp_path, "lib", "1.0"))
    index.raw["/simple/app/"] = (200, kind, body)
    report = run("app", "lib")
    assert report.signed == ["lib"]
    assert "/simple/app/" in str(report.problems[0])


def test_a_broken_server_leaves_the_signed_page_as_it_is(
    index: Index, overlay: MadeRepository, run: Sync, tmp_path: Path
) -> None:
    index.offer(make_wheel(tmp_path, "app", "1.0"))
    run("app")
    index.raw["/simple/app/"] = (500, "text/plain", b"")
    assert "500" in str(run().problems[0])
    assert len(page_of(overlay, "app").files) == 1


def test_odd_entries_cost_themselves_and_not_the_page(
    index: Index, overlay: MadeRepository, run: Sync, tmp_path: Path
) -> None:
    (file,) = index.offer(make_wheel(tmp_path, "app", "1.0"))
    good = {"filename": file.filename, "url": file.url, "hashes": {"sha256": file.sha256}}
    entries: list[object] = [
        {**good, "filename": "../../etc/app-1.0.tar.gz"},
        {**good, "filename": "app-1.1.tar.gz", "url": "file:///etc/passwd"},
        {**good, "filename": "app-1.2.tar.gz", "url": "http://[oops"},
        {**good, "filename": "app-1.3.tar.gz", "url": "javascript:alert(1)"},
        {**good, "filename": "app-1.4.tar.gz", "hashes": {"sha256": "short"}},
        {**good, "filename": "app-1.5.tar.gz", "hashes": {"md5": "0" * 32}},
        {**good, "filename": "other-1.6.tar.gz"},
        {**good, "filename": "app-1.7.exe"},
        {**good, "filename": "-rf-1.0.tar.gz"},
        {**good, "filename": "app-1.8.tar.gz", "size": -1, "url": "../../nowhere"},
        {**good, "filename": "app-1.9.tar.gz", "url": "../\ud800"},
        {"filename": 7},
        "text",
        None,
        {**good, "size": 5, "yanked": "\ud800", "requires-python": 3, "upload-time": "soon"},
    ]
    body = json.dumps({"meta": {"api-version": "1.0"}, "name": "App", "files": entries}).encode()
    index.raw["/simple/app/"] = (200, "application/vnd.pypi.simple.v1+json", body)
    report = run("app")
    assert [f.filename for f in page_of(overlay, "app").files] == [file.filename]
    found = reasons(report, "app")
    assert found["app-1.1.tar.gz"] == found["app-1.2.tar.gz"] == Reason.BAD_URL
    assert found["app-1.3.tar.gz"] == found["app-1.9.tar.gz"] == Reason.BAD_URL
    assert found["app-1.4.tar.gz"] == found["app-1.5.tar.gz"] == Reason.NO_SHA256
    assert found["app-1.8.tar.gz"] == Reason.MISSING


def test_several_indexes_are_united_in_their_order_and_differences_reported(
    index: Index, overlay: MadeRepository, run: Sync, tmp_path: Path
) -> None:
    (first,) = index.offer(make_wheel(tmp_path / "a", "app", "1.0"))
    with serve_index() as second:
        second.offer(make_wheel(tmp_path / "b", "app", "1.0", requires=["x"]))
        second.offer(make_wheel(tmp_path / "b", "app", "2.0"))
        report = run("app", indexes=[index.url, second.url])
        assert second.host in report.remarks[0]
        page = page_of(overlay, "app")
        assert {f.filename: f.url.split("/")[2] for f in page.files} == {
            "app-1.0-py3-none-any.whl": index.host,
            "app-2.0-py3-none-any.whl": second.host,
        }
        assert page.files[0].sha256 == first.sha256
        index.etags = second.etags = True
        run("app", indexes=[index.url, second.url])
        second.offer(make_wheel(tmp_path / "b", "app", "3.0"))
        assert run("app", indexes=[index.url, second.url]).files == 3


def make_file_index(folder: Path, *paths: Path, digests: bool = True) -> str:
    links: dict[str, str] = {}
    for path in paths:
        name = path.name.split("-")[0]
        digest = f"#sha256={sha256_of(path.read_bytes())}" if digests else ""
        links[name] = links.get(name, "") + f'<a href="{path.as_uri()}{digest}">{path.name}</a>\n'
    for name, html in links.items():
        (folder / name).mkdir(parents=True, exist_ok=True)
        (folder / name / "index.html").write_text(html)
    return folder.as_uri()


@pytest.mark.parametrize("digests", [True, False])
def test_an_index_on_disk_is_measured_and_hashed_here(
    overlay: MadeRepository, run: Sync, tmp_path: Path, digests: bool
) -> None:
    wheel = make_wheel(tmp_path, "app", "1.0", requires=["lib"])
    library = make_wheel(tmp_path, "lib", "1.0")
    url = make_file_index(tmp_path / "simple", wheel, library, digests=digests)
    report = run("app", indexes=[url], with_dependencies=True)
    assert (report.signed, report.problems, report.requests) == (["app", "lib"], [], 0)
    (signed,) = page_of(overlay, "app").files
    assert (signed.url, signed.size) == (wheel.as_uri(), wheel.stat().st_size)
    assert signed.sha256 == sha256_of(wheel.read_bytes())
    assert signed.core_metadata is None
    assert run("app", indexes=[url], with_dependencies=True).roles == ()


def test_a_file_on_disk_that_is_not_what_its_index_says_is_reported(
    run: Sync, tmp_path: Path
) -> None:
    wheel = make_wheel(tmp_path, "app", "1.0")
    gone = make_wheel(tmp_path, "app", "2.0")
    url = make_file_index(tmp_path / "simple", wheel, gone)
    gone.unlink()
    wheel.write_bytes(b"something else")
    report = run("app", indexes=[url])
    assert reasons(report, "app") == {
        wheel.name: Reason.WRONG_SHA256,
        gone.name: Reason.MISSING,
    }
    assert "not what the index says" in str(report.problems[0])


def test_a_folder_of_find_links_comes_first(
    index: Index, overlay: MadeRepository, run: Sync, tmp_path: Path
) -> None:
    folder = tmp_path / "wheels"
    here = make_wheel(folder, "my-app", "1.0")
    make_wheel(folder, "my-app-more", "1.0")
    shutil.copy(here, tmp_path / here.name)
    index.offer(tmp_path / here.name, make_wheel(tmp_path, "my-app", "2.0"))
    report = run("my-app", find_links=(str(folder),))
    assert report.problems == []
    assert [f.url.split(":")[0] for f in page_of(overlay, "my-app").files] == ["file", "http"]


@pytest.mark.parametrize("host", ["packages.example.org", "127.example.org", "localhost.example"])
def test_an_index_that_is_not_encrypted_is_refused(host: str) -> None:
    with pytest.raises(UsageError, match="not encrypted"):
        open_sources([f"http://{host}/simple"], (), Transport())


def test_the_offline_keys_are_not_needed(
    index: Index, overlay: MadeRepository, run: Sync, tmp_path: Path
) -> None:
    shutil.rmtree(overlay.offline_keys)
    index.offer(make_wheel(tmp_path, "app", "1.0"))
    assert run("app").signed == ["app"]


def test_a_page_that_takes_for_ever_holds_nobody_else_up(
    index: Index,
    overlay: MadeRepository,
    run: Sync,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    index.offer(make_wheel(tmp_path, "good", "1.0"), make_wheel(tmp_path, "evil", "1.0"))
    run("evil")
    read, over = simple_api.parse_simple_page, threading.Event()
    results = threads.Work.results

    def drag(body: bytes, kind: str, url: str, project: NormalizedName) -> UpstreamPage:
        if project == "evil":
            over.wait(60)
        return read(body, kind, url, project)

    def impatient(work: threads.Work[object]) -> Iterator[object]:
        for result in results(work):
            yield result
            if work.under_way == 1:  # nothing else is waited for
                monkeypatch.setattr(threads, "PATIENCE_SECONDS", 0.2)

    monkeypatch.setattr(http_index, "parse_simple_page", drag)
    monkeypatch.setattr(threads.Work, "results", impatient)
    index.offer(make_wheel(tmp_path, "evil", "2.0"))
    report = run("evil", "good")
    over.set()
    assert report.signed == ["good"]
    assert [problem.project for problem in report.problems] == ["evil"]
    assert [file.filename for file in page_of(overlay, "evil").files] == [
        "evil-1.0-py3-none-any.whl"
    ]


def test_a_defect_in_reading_one_project_stops_nobody_else(
    index: Index, run: Sync, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    index.offer(make_wheel(tmp_path, "good", "1.0"), make_wheel(tmp_path, "evil", "1.0"))
    read = simple_api.parse_simple_page

    def fail(body: bytes, kind: str, url: str, project: NormalizedName) -> UpstreamPage:
        if project == "evil":
            raise RecursionError
        return read(body, kind, url, project)

    monkeypatch.setattr(http_index, "parse_simple_page", fail)
    report = run("evil", "good")
    assert report.signed == ["good"]
    assert [problem.project for problem in report.problems] == ["evil"]
