"""Health and metrics of a repository on many machines, for monitoring.

Rule: both come from the database and the storage, so any front end can answer for the whole. They
name no project and no file, because everybody who can fetch the repository can read them.

Metrics are in the text format of Prometheus (exposition format 0.0.4). Its client library would add
a registry, counters of each process, and threads, for a dozen lines of text.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timezone
from http import HTTPStatus

from securepip.engine.queue import state_of
from securepip.errors import RepositoryStateError, SecurepipError
from securepip.formats.layout import METADATA_DIR
from securepip.signing.repository.repository import Repository
from securepip.signing.repository.roles import Top
from securepip.signing.repository.state.log import Log
from securepip.signing.repository.storage.interface import StorageError

HEALTH_PATH = "/-/health"
METRICS_PATH = "/-/metrics"
STUCK_SECONDS = 300.0
"""If an upload waits longer, probably no worker publishes."""

_LAST_ENTRIES = 100


@dataclass(frozen=True)
class Numbers:
    """The measured values.

    Attributes:
        waiting: The number of uploads that are stored and not answered yet.
        oldest: How many seconds the oldest of them has waited; 0 if none waits.
        workers: The number of workers with a recent heartbeat.
        publications: The number of publications.
        seconds: How long they took, all together.
        files: The number of uploads that were published.
        refused: The number of uploads that were refused.
        snapshot: When the current snapshot was signed (Unix time).
        expires: When the timestamp expires (Unix time).
    """

    waiting: int
    oldest: float
    workers: int
    publications: int
    seconds: float
    files: int
    refused: int
    snapshot: float
    expires: float


@dataclass(frozen=True)
class Page:
    """An answer for monitoring."""

    status: HTTPStatus
    text: str


class DamagedTimestampError(RepositoryStateError):
    """The timestamp is damaged, was signed by somebody else, or is older than what was signed."""


def numbers(repository: Repository) -> Numbers:
    """Measure the values.

    Raises:
        SecurepipError: The database or the storage does not answer.
        DamagedTimestampError: The timestamp in the storage is not the one that was signed last.
    """
    execute = state_of(repository).connection.execute
    waiting, oldest = execute(
        "SELECT count(*), coalesce(extract(epoch FROM now() - min(received)), 0)"
        " FROM upload WHERE answered IS NULL"
    ).fetchone()
    (workers,) = execute(
        "SELECT count(*) FROM procrastinate_workers WHERE last_heartbeat > now() - interval '30 s'"
    ).fetchone()
    publications, seconds, files, refused = execute(
        "SELECT publications, seconds, files, refused FROM tally"
    ).fetchone()
    _, newest = repository.ledger.current()  # read first: a newer timestamp may appear after it
    try:
        top = Top(repository.storage.below(METADATA_DIR), repository.config.root_sha256)
    except StorageError:
        raise  # a failing storage says nothing about the timestamp
    except RepositoryStateError as error:
        raise DamagedTimestampError(error.what) from error
    timestamp = top.timestamp.signed
    if timestamp.version < newest:
        raise DamagedTimestampError(f"version {timestamp.version} is older than {newest}")
    return Numbers(
        waiting=int(waiting),
        oldest=float(oldest),
        workers=int(workers),
        publications=publications,
        seconds=seconds,
        files=files,
        refused=refused,
        snapshot=_snapshot_time(repository.log),
        expires=timestamp.expires.timestamp(),
    )


def health(open_repository: Callable[[], Repository]) -> Page:
    """Whether uploads are published, and clients accept the current state."""
    measured = _measure(open_repository)
    if isinstance(measured, Page):
        return measured
    wrong = []
    if measured.expires < now():
        wrong.append("the timestamp has expired: see why no worker renews it")
    if measured.oldest > STUCK_SECONDS:
        wrong.append(f"an upload waits for {measured.oldest:.0f} s: see what the workers print")
    if not measured.workers:
        wrong.append("no worker runs: securepip repo worker")
    if wrong:
        return Page(HTTPStatus.SERVICE_UNAVAILABLE, "\n".join([*wrong, ""]))
    return Page(HTTPStatus.OK, "ok\n")


def metrics(open_repository: Callable[[], Repository]) -> Page:
    """The values in the text format of Prometheus."""
    measured = _measure(open_repository)
    if isinstance(measured, Page):
        return measured
    return Page(HTTPStatus.OK, "".join(_lines(measured)))


def _measure(open_repository: Callable[[], Repository]) -> Numbers | Page:
    try:
        with open_repository() as repository:
            return numbers(repository)
    except DamagedTimestampError:
        return Page(
            HTTPStatus.SERVICE_UNAVAILABLE,
            "the timestamp is not the one that was signed: see what `securepip repo status` says\n",
        )
    except (SecurepipError, OSError):
        # The error is for the operator, and everybody may see this page.
        return Page(
            HTTPStatus.SERVICE_UNAVAILABLE, "the database or the storage cannot be read now\n"
        )


def now() -> float:
    """The current time (Unix time)."""
    return datetime.now(timezone.utc).timestamp()


def _lines(measured: Numbers) -> Iterator[str]:
    moment = now()
    for name, kind, text, value in (
        ("queue_length", "gauge", "Uploads that wait for their publication.", measured.waiting),
        ("queue_oldest_seconds", "gauge", "For how long the oldest has waited.", measured.oldest),
        ("workers", "gauge", "Workers that live.", measured.workers),
        (
            "snapshot_age_seconds",
            "gauge",
            "Since the current snapshot.",
            moment - measured.snapshot,
        ),
        (
            "timestamp_left_seconds",
            "gauge",
            "Until the timestamp expires.",
            measured.expires - moment,
        ),
        ("publications_total", "counter", "Publications of uploads.", measured.publications),
        ("publication_seconds_total", "counter", "How long these took.", measured.seconds),
        ("files_total", "counter", "Uploads that were published.", measured.files),
        ("refused_total", "counter", "Uploads that were refused when signed.", measured.refused),
    ):
        yield f"# HELP securepip_{name} {text}\n# TYPE securepip_{name} {kind}\n"
        yield f"securepip_{name} {value:.10g}\n"


def _snapshot_time(log: Log) -> float:
    """When a snapshot was signed last, by the end of the log."""
    moment = 0.0
    for entry, _ in log.after(max(log.size() - _LAST_ENTRIES, 0)):
        if any(each.role == "snapshot" for each in entry.signed):
            moment = entry.time.timestamp()
    return moment
