"""How a repository of many machines is doing, for those who watch it: health, and numbers.

Rule: both say what the database and the storage say, so any process may be asked for the whole.
They name no project and no file: whoever may fetch the repository may read them.

The numbers are lines of text, as Prometheus reads them (exposition format 0.0.4). The client
library would bring a registry, processes' own counters and threads for a dozen lines.
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
"""An upload that waits longer is a sign that no worker publishes."""

_LAST_ENTRIES = 100


@dataclass(frozen=True)
class Numbers:
    """What is measured. Moments are Unix time.

    Attributes:
        waiting: Uploads that are kept safe and not answered yet.
        oldest: Seconds for which the oldest of them has waited; 0 where none does.
        workers: Workers that said lately that they live.
        publications: How many there were.
        seconds: How long they took together.
        files: Uploads that were published.
        refused: Uploads that were refused.
        snapshot: When the current snapshot was signed.
        expires: When the timestamp expires.
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
    """An answer for who watches."""

    status: HTTPStatus
    text: str


class DamagedTimestampError(RepositoryStateError):
    """The timestamp is damaged, was signed by somebody else, or is older than what was signed."""


def numbers(repository: Repository) -> Numbers:
    """Measure.

    Raises:
        SecurepipError: The database or the storage does not answer.
        DamagedTimestampError: What is there as the timestamp is not the one that was signed.
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
    _, newest = repository.ledger.current()  # first: a newer one may be signed meanwhile
    try:
        top = Top(repository.storage.below(METADATA_DIR), repository.config.root_sha256)
    except StorageError:
        raise  # nothing was found to be wrong
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
    """Whether uploads are taken and published, and clients accept what is served."""
    found = _measure(open_repository)
    if isinstance(found, Page):
        return found
    wrong = []
    if found.expires < now():
        wrong.append("the timestamp has expired: see why no worker renews it")
    if found.oldest > STUCK_SECONDS:
        wrong.append(f"an upload waits for {found.oldest:.0f} s: see what the workers print")
    if not found.workers:
        wrong.append("no worker runs: securepip repo worker")
    if wrong:
        return Page(HTTPStatus.SERVICE_UNAVAILABLE, "\n".join([*wrong, ""]))
    return Page(HTTPStatus.OK, "ok\n")


def metrics(open_repository: Callable[[], Repository]) -> Page:
    """The numbers, in the text format of Prometheus."""
    found = _measure(open_repository)
    return found if isinstance(found, Page) else Page(HTTPStatus.OK, "".join(_lines(found)))


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
        # The words are for the operator, and this may be seen by everybody.
        return Page(
            HTTPStatus.SERVICE_UNAVAILABLE, "the database or the storage cannot be read now\n"
        )


def now() -> float:
    """The moment (Unix time)."""
    return datetime.now(timezone.utc).timestamp()


def _lines(found: Numbers) -> Iterator[str]:
    moment = now()
    for name, kind, text, value in (
        ("queue_length", "gauge", "Uploads that wait for their publication.", found.waiting),
        ("queue_oldest_seconds", "gauge", "For how long the oldest has waited.", found.oldest),
        ("workers", "gauge", "Workers that live.", found.workers),
        ("snapshot_age_seconds", "gauge", "Since the current snapshot.", moment - found.snapshot),
        ("timestamp_left_seconds", "gauge", "Until the timestamp expires.", found.expires - moment),
        ("publications_total", "counter", "Publications of uploads.", found.publications),
        ("publication_seconds_total", "counter", "How long these took.", found.seconds),
        ("files_total", "counter", "Uploads that were published.", found.files),
        ("refused_total", "counter", "Uploads that were refused when signed.", found.refused),
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
