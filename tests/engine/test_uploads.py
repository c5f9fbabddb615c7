"""A front end takes uploads and a worker publishes them, with the guarantees of one machine."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from pathlib import Path

import psycopg
import pytest
import requests
import uv

from securepip.engine import metrics
from securepip.engine import worker as workers
from securepip.engine.front import FrontServer
from securepip.engine.publication import Publication
from securepip.engine.worker import Worker
from securepip.signing.publish import refresh
from securepip.signing.repository import commit
from securepip.signing.uploads.form import Limits
from tests.engine.made import Made, make
from tests.signing.clients import updater
from tests.support.hostile import running
from tests.support.postgres import PASSWORD, Postgres
from tests.support.store import BUCKET, store_behind
from tests.support.wheels import make_wheel
from tests.uploads.sending import Site, fields_of
from tests.uploads.test_uploads import (  # noqa: F401 # run once more, here
    test_a_token_is_for_its_projects_until_it_is_revoked,
    test_only_who_has_a_token_uploads,
    test_other_bytes_under_a_known_name_are_refused,
    test_the_same_file_twice_is_fine_and_signs_nothing,
    test_what_was_removed_comes_back_by_no_upload,
)


@contextmanager
def serving(
    made: Made, wait: float = 60.0, log: Callable[[str], None] = lambda line: None
) -> Iterator[str]:
    """A front end; its URL."""
    limits = Limits(file_bytes=1 << 20)
    front = FrontServer(made.address, made.url, log=log, limits=limits, wait=wait)
    with front as server, running(server):
        yield server.url


@contextmanager
def working(made: Made, said: list[str]) -> Iterator[None]:
    """A worker."""
    worker = Worker(made.open, made.url, said.append)
    thread = threading.Thread(target=worker.run)
    thread.start()
    try:
        yield
    finally:
        worker.stop()
        thread.join()


def as_site(made: Made, url: str, said: list[str]) -> Site:
    _, token = made.repository.state.tokens.create(None)
    return Site(f"{url}legacy/", token, made, said)


@pytest.fixture
def site(made: Made) -> Iterator[Site]:
    """A front end and a worker."""
    said: list[str] = []
    with serving(made) as url, working(made, said):
        yield as_site(made, url, said)


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shorten the times after which a worker is taken for dead, and a failed job is repeated."""
    monkeypatch.setattr(workers, "HEARTBEAT_SECONDS", 0.5)
    monkeypatch.setattr(workers, "STALLED_SECONDS", 2.0)
    monkeypatch.setattr(workers, "_RETRY_SECONDS", 1)


def rows(made: Made, sql: str) -> list[tuple[object, ...]]:
    with psycopg.connect(made.url) as connection:
        return connection.execute(sql.encode()).fetchall()


def test_an_upload_is_kept_safe_until_a_worker_comes(made: Made, tmp_path: Path) -> None:
    wheel = make_wheel(tmp_path / "built", "app", "1.0")
    with serving(made, wait=0.2) as url:
        site = as_site(made, url, [])
        answer = site.send(wheel)
        assert answer.status_code == 202
        assert "kept safe, but not published yet" in answer.text
        assert requests.get(f"{url}-/health", timeout=30).text.startswith("no worker runs")
    with serving(made, wait=0) as url:
        answer = as_site(made, url, []).send(make_wheel(tmp_path / "built", "b", "1.0"))
        assert (answer.status_code, "will be published" in answer.text) == (200, True)
    staged = made.folder / "state" / "staged"
    assert len([*staged.iterdir()]) == 2
    said: list[str] = []
    with working(made, said):
        end = time.monotonic() + 60
        while rows(made, "SELECT 1 FROM upload WHERE answered IS NULL"):
            assert time.monotonic() < end, said
            time.sleep(0.05)
    assert made.repository.projects() == ["app", "b"]
    assert not [*staged.iterdir()]
    assert not rows(made, "SELECT * FROM procrastinate_jobs WHERE task_name = 'publish'")


def test_uv_publishes_by_a_front_end_and_shows_why_it_may_not(site: Site, tmp_path: Path) -> None:
    def publish(wheel: Path) -> subprocess.CompletedProcess[str]:
        where = ("--publish-url", site.url, "--token", site.token)
        return subprocess.run(
            [uv.find_uv_bin(), "publish", "--no-config", *where, wheel],
            capture_output=True, text=True, check=False, timeout=120,
        )  # fmt: skip

    done = publish(make_wheel(tmp_path, "app", "1.0"))
    assert done.returncode == 0, done.stderr
    assert site.files("app") == ["app-1.0-py3-none-any.whl"]
    done = publish(make_wheel(tmp_path / "other", "app", "1.0", files={"app/evil.py": ""}))
    assert done.returncode != 0
    assert "already exists with other bytes" in " ".join(done.stderr.split())


_ABOUT = ["metadata_version", "2.3", "summary", "An app.", "pyversion", "py3"]
_FIELDS = {
    # Which fields each sends beside those that say what the file is, and which digests.
    "flit": ([*_ABOUT, "classifiers", "A", "classifiers", "B"], ["md5", "sha256"]),
    "poetry": (
        [*_ABOUT, "keywords", "a, b", "project_urls", "Home, https://packages.example.org/"],
        ["md5", "sha256", "blake2_256"],
    ),
}


@pytest.mark.parametrize("tool", _FIELDS)
def test_flit_and_poetry_publish_by_a_front_end(site: Site, tmp_path: Path, tool: str) -> None:
    """What they send, without them: each brings a house of its own."""
    wheel = make_wheel(tmp_path, "app", "1.0")
    good = fields_of(wheel, description="", metadata_version="")
    about, digests = _FIELDS[tool]
    sent = [
        *(each for each in good.items() if not each[0].endswith("_digest")),
        *zip(about[::2], about[1::2], strict=True),
        *((f"{name}_digest", good[f"{name}_digest"]) for name in digests),
    ]
    answer = requests.post(
        site.url,
        data=sent,
        files={"content": (wheel.name, wheel.read_bytes())},
        auth=("__token__", site.token),
        allow_redirects=False,
        timeout=60,
    )
    assert answer.status_code == 200, answer.text
    assert site.files("app") == [wheel.name]


def test_the_job_of_a_worker_that_died_is_done_by_the_next(made: Made, tmp_path: Path) -> None:
    """The first takes the job and says nothing more: as after a power cut."""
    wheel = make_wheel(tmp_path / "built", "app", "1.0")
    with serving(made) as url:
        site = as_site(made, url, [])
        answers: list[requests.Response] = []
        sending = threading.Thread(target=lambda: answers.append(site.send(wheel)))
        sending.start()
        end = time.monotonic() + 60
        while not rows(made, "SELECT 1 FROM procrastinate_jobs"):
            assert time.monotonic() < end
            time.sleep(0.02)
        rows(
            made,
            "WITH dead AS (INSERT INTO procrastinate_workers (last_heartbeat)"
            " VALUES (now() - interval '1 s') RETURNING id)"
            " SELECT procrastinate_fetch_job_v2(NULL, id) FROM dead",
        )
        assert rows(made, "SELECT status::text FROM procrastinate_jobs") == [("doing",)]
        with working(made, []):
            sending.join(60)
    assert [answer.status_code for answer in answers] == [200]
    assert made.repository.projects() == ["app"]


def test_what_the_disk_refuses_is_published_when_there_is_room(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from securepip.signing.repository.storage import local

    replace_file = local.LocalStorage.replace
    full = [True, True]

    def once_full(self: local.LocalStorage, name: str, data: bytes, before: bytes | None) -> None:
        if full:
            full.pop()
            raise OSError(28, "No space left on device")
        replace_file(self, name, data, before)

    before = site.snapshot()
    monkeypatch.setattr(local.LocalStorage, "replace", once_full)
    answer = site.send(make_wheel(tmp_path / "built", "app", "1.0"))
    assert answer.status_code == 200
    assert full == []
    assert site.snapshot() == before + 3, "a number that was written is never given again"
    failed = [line for line in site.said if "could not be published, and wait" in line]
    assert len(failed) == 2
    assert "No space left on device" in failed[0]


def test_a_database_that_is_gone_for_a_moment_costs_no_upload(
    site: Site, server: Postgres, tmp_path: Path
) -> None:
    wheels = [make_wheel(tmp_path / "built", f"p{number}", "1.0") for number in range(6)]
    answers: list[int] = []
    sending = [
        threading.Thread(target=lambda each=wheel: answers.append(until_taken(site, each)))
        for wheel in wheels
    ]
    for thread in sending:
        thread.start()
    for _ in range(3):
        time.sleep(0.3)
        server.disconnect()
    for thread in sending:
        thread.join(90)
    assert answers == [200] * 6
    assert not any(PASSWORD in line for line in site.said)


def test_a_bucket_that_answers_503_costs_no_upload_and_nothing_half_is_current(
    moto: str, tmp_path: Path, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("securepip.engine.bucket._RETRY", {"max_retries": 0})
    timestamp, address, said = "index/metadata/timestamp.json", f"s3://{BUCKET}/index", list[str]()
    with ExitStack() as stack:
        store = stack.enter_context(store_behind(moto))
        for name, value in store.environment.items():
            monkeypatch.setenv(name, value)
        public = store.public_url(address)
        made = stack.enter_context(
            make(address, tmp_path / "known", url, tmp_path / "keys", public)
        )
        base = stack.enter_context(serving(made, log=said.append))
        stack.enter_context(working(made, said))
        site = as_site(made, base, said)

        # A front end: nothing is taken that is not kept safe.
        store.decide = lambda method, name: 503
        refused = site.send(make_wheel(tmp_path / "built", "app", "1.0"))
        assert (refused.status_code, "try again later" in refused.text) == (503, True)
        sick = requests.get(f"{base}-/health", timeout=30)
        assert (sick.status_code, "storage cannot be read now" in sick.text) == (503, True)
        assert [line for line in said if "the store answers 503" in line], "the operator knows why"
        said.clear()
        store.decide = lambda method, name: None
        assert not rows(made, "SELECT 1 FROM upload")

        # A worker: the file is safe, whatever is signed is refused at every second request.
        refusals = itertools.count()

        def decide(method: str, name: str) -> int | None:
            is_written = method == "PUT" and "/staged/" not in name
            return 503 if is_written and next(refusals) % 2 else None

        before, answers = store.get(timestamp), list[int]()
        store.decide = decide
        wheel = make_wheel(tmp_path / "built", "app", "2.0")
        sending = threading.Thread(target=lambda: answers.append(site.send(wheel).status_code))
        sending.start()
        end = time.monotonic() + 60
        while not [line for line in said if "could not be published, and wait" in line]:
            assert time.monotonic() < end, said
            time.sleep(0.02)
        store.decide = lambda method, name: 503 if method == "PUT" else None
        assert store.get(timestamp) == before, "what was current still is"
        updater(made.folder, tmp_path / "client", public).refresh()
        store.decide = lambda method, name: None
        sending.join(60)
        assert answers == [200]
        client = updater(made.folder, tmp_path / "client", public)
        assert client.get_targetinfo(f"packages/app/{wheel.name}") is not None
    assert [line for line in said if "the store answers 503" in line]
    assert not any(store.environment["AWS_SECRET_ACCESS_KEY"] in line for line in said)


def until_taken(site: Site, wheel: Path) -> int:
    """Upload, and repeat it if the server answers that it is busy."""
    for _ in range(20):
        answer = site.send(wheel)
        if answer.status_code not in (503, 507):
            return answer.status_code
        time.sleep(0.5)
    return 0


def test_numbers_and_health_are_told_without_a_name(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.send(make_wheel(tmp_path / "built", "secret-project", "1.0"))
    base = site.url.removesuffix("legacy/")
    told = requests.get(f"{base}-/metrics", timeout=30)
    assert told.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    found = dict(line.rsplit(" ", 1) for line in told.text.splitlines() if not line.startswith("#"))
    assert found["securepip_files_total"] == "1"
    assert found["securepip_queue_length"] == "0"
    assert found["securepip_workers"] == "1"
    assert 0 <= float(found["securepip_snapshot_age_seconds"]) < 300
    assert "secret" not in told.text
    well = requests.get(f"{base}-/health", data=b"GET / HTTP/1.1", timeout=30)
    assert (well.text, well.headers["Connection"]) == ("ok\n", "close")  # its body is no request
    with monkeypatch.context() as later:
        now = metrics.now()
        later.setattr(metrics, "now", lambda: now + 8 * 86_400)
        sick = requests.get(f"{base}-/health", timeout=30)
        assert (sick.status_code, sick.text[:26]) == (503, "the timestamp has expired:")
    timestamp = site.made.folder / "metadata" / "timestamp.json"
    signed = timestamp.read_bytes()
    site.send(make_wheel(tmp_path / "built", "secret-project", "2.0"))
    document = json.loads(timestamp.read_bytes())
    document["signed"]["expires"] = "2101-01-01T00:00:00Z"
    for damaged in (
        *(b"", b"{}", b"\xff", b'{"signed": {"_type": "timestamp"}, "signatures": []}'),
        json.dumps(document).encode(),
        signed,  # by the right key, and put back by who writes to the storage
    ):
        timestamp.write_bytes(damaged)
        for page in ("health", "metrics"):
            sick = requests.get(f"{base}-/{page}", timeout=30)
            assert sick.status_code == 503
            assert sick.text.startswith("the timestamp is not the one that was signed")


def test_a_worker_renews_what_is_due_and_forgets_what_is_old(
    made: Made, server: Postgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    publication = Publication(made.open, said.append)
    staged = made.folder / "state" / "staged"
    with serving(made, wait=0) as url:
        site = as_site(made, url, said)
        site.send(make_wheel(tmp_path / "built", "published", "1.0"))
        assert publication.publish() == 1
        server.disconnect()  # while there is nothing to do
        site.send(make_wheel(tmp_path / "built", "waiting", "1.0"))
    (waiting,) = staged.iterdir()
    young, old = staged / "young", staged / "old"
    for path in (young, old):
        path.write_bytes(b"of a front end that died")
    for path in (waiting, old):
        os.utime(path, (0, 0))
    rows(made, "UPDATE upload SET answered = answered - interval '31 days' RETURNING id")
    six_days = timedelta(days=6)
    monkeypatch.setattr(refresh, "now", lambda: commit.now() + six_days)
    assert publication.refresh().signed == ("snapshot", "timestamp")
    assert {*staged.iterdir()} == {waiting, young}
    assert rows(made, "SELECT filename FROM upload") == [("waiting-1.0-py3-none-any.whl",)]
    assert publication.publish() == 1
    with made.open() as repository:
        assert repository.projects() == ["published", "waiting"]
    publication.close()


def test_bytes_that_somebody_puts_in_the_place_of_an_upload_are_not_signed(
    made: Made, tmp_path: Path
) -> None:
    """A storage may be one to which others write; the database remembers what was sent."""
    said: list[str] = []
    with serving(made, wait=0) as url:
        site = as_site(made, url, said)
        for name in ("changed", "gone", "good"):
            site.send(make_wheel(tmp_path / "built", name, "1.0"))
    staged = {str(row[0]): row[1] for row in rows(made, "SELECT project, staged FROM upload")}
    forged = make_wheel(tmp_path / "forged", "changed", "1.0", requires=["evil"])
    (made.folder / str(staged["changed"])).write_bytes(forged.read_bytes())
    (made.folder / str(staged["gone"])).unlink()
    publication = Publication(made.open, said.append)
    assert publication.publish() == 3
    publication.close()
    assert made.repository.projects() == ["good"]
    answers = rows(made, "SELECT status, words FROM upload WHERE project <> 'good'")
    assert {status for status, _ in answers} == {503}
    assert len([line for line in said if "upload it again" in line]) == 2
