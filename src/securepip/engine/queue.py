"""The queue of uploads in the database, which wait for a worker, perhaps on another machine.

Rule: an upload is stored first: its bytes in the storage, and then its row and its job in one
transaction. From then on it will be published, or refused with a reason, whichever process dies.
All jobs share one lock, so there is one publication at a time. The job of one upload publishes all
that wait.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as WaitTimeoutError
from contextlib import suppress
from http import HTTPStatus

import procrastinate
import psycopg

from securepip.engine.database import PostgresConnection, conninfo, errors, only_row
from securepip.engine.state import DatabaseState
from securepip.signing.repository.config import STATE_DIR, parse_config
from securepip.signing.repository.repository import Repository
from securepip.signing.uploads.publisher import Answer, Upload, check_known, not_now
from securepip.signing.uploads.refusal import UploadRefusedError

STAGED_DIR = f"{STATE_DIR}/staged"
"""The folder in the storage for uploads until they are published. Like all of ``state``, it is
never served."""

QUEUE = "publications"
LOCK = "publication"
PUBLISH = "publish"
WAIT_SECONDS = 600.0
_LOOK_SECONDS = 1.0


def channel(connection: PostgresConnection) -> str:
    """The channel of the database that announces answers to uploads."""
    return f"securepip_answered_{connection.schema}"


def state_of(repository: Repository) -> DatabaseState:
    """The state of a repository whose memory is in a database."""
    state = repository.state
    assert isinstance(state, DatabaseState)  # noqa: S101 # only such repositories have a queue
    return state


class Queue:
    """Puts uploads into the queue, and waits for the workers' answers. Implements ``Publisher``.

    Args:
        open_repository: Opens the repository; called in each thread that has an upload.
        url: The address of its database.
        wait: How many seconds an upload waits for its answer; with 0, it is answered as soon as it
            is stored.
    """

    def __init__(
        self, open_repository: Callable[[], Repository], url: str, wait: float = WAIT_SECONDS
    ) -> None:
        self._open = open_repository
        self._wait = wait
        # This app runs no jobs: it only writes them, with connections that it is given.
        self._app = procrastinate.App(connector=procrastinate.SyncPsycopgConnector())
        with open_repository() as repository:
            self._answers = _Answers(url, channel(state_of(repository).connection))

    def publish(self, upload: Upload) -> Answer:
        """As ``Publisher.publish``."""
        with self._open() as repository:
            # A known conflict is refused at once. For all other uploads, the worker decides.
            check_known(repository.ledger, upload.distribution)
            number = self._keep(repository, upload)
        if self._wait <= 0:
            return Answer(HTTPStatus.OK, f"{upload.filename} is kept safe, and will be published")
        answer = self._answers.wait(number, self._wait)
        if answer is None:
            return Answer(
                HTTPStatus.ACCEPTED,
                f"{upload.filename} is kept safe, but not published yet: it will be, without "
                "another upload",
            )
        status, words = answer
        if status is not HTTPStatus.OK:
            raise UploadRefusedError(status, words)
        return Answer(status, words)

    def close(self) -> None:
        """As ``Publisher.close``."""
        self._answers.close()

    def _keep(self, repository: Repository, upload: Upload) -> int:
        """Store an upload, and make a job for it; its number."""
        new, sha256 = upload.distribution.new, upload.distribution.page_file.sha256
        size = new.path.stat().st_size
        # Each upload has its own name, even with the same bytes: it is deleted after publication.
        staged = f"{STAGED_DIR}/{sha256}-{secrets.token_hex(8)}"
        repository.storage.copy(new.path, staged, sha256)
        repository.storage.flush()
        connection = state_of(repository).connection
        with errors(connection.address), connection.psycopg.transaction():
            # A move of the repository waits for this transaction, or is noticed here.
            settings = connection.psycopg.execute("SELECT document FROM setting FOR SHARE")
            config = parse_config(only_row(settings)[0].encode(), connection.address)
            if config.is_away(repository.address):
                raise not_now()
            inserted = connection.psycopg.execute(
                "INSERT INTO upload (project, filename, sha256, size, staged, token)"
                " VALUES (%s, %s, %s, %s, %s, %s) RETURNING id",
                (new.project, new.filename, sha256, size, staged, upload.token),
            )
            number = int(only_row(inserted)[0])
            job = self._app.configure_task(
                PUBLISH, queue=QUEUE, lock=LOCK, connection=connection.psycopg
            ).defer(upload=number)
            connection.psycopg.execute("UPDATE upload SET job = %s WHERE id = %s", (job, number))
        return number


class _Answers:
    """Passes the workers' answers on to the threads that wait for them.

    One connection listens for all. Answers that come while it is broken are read afterwards.
    """

    def __init__(self, url: str, channel: str) -> None:
        self._url = url
        self._channel = channel
        self._lock = threading.Lock()
        self._waiting: dict[int, Future[tuple[HTTPStatus, str]]] = {}
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._run, name="answers", daemon=True)
        self._thread.start()

    def wait(self, number: int, seconds: float) -> tuple[HTTPStatus, str] | None:
        """The answer to an upload; None if there is none within ``seconds``."""
        future: Future[tuple[HTTPStatus, str]] = Future()
        with self._lock:
            self._waiting[number] = future
        try:
            return future.result(seconds)
        except WaitTimeoutError:
            return None
        finally:
            with self._lock:
                del self._waiting[number]

    def close(self) -> None:
        self._closed.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._closed.is_set():
            with suppress(psycopg.Error):  # it is tried again until it works
                self._listen()
            self._closed.wait(_LOOK_SECONDS)

    def _listen(self) -> None:
        with psycopg.connect(conninfo(self._url), autocommit=True) as connection:
            connection.execute(f"LISTEN {self._channel}".encode())
            while not self._closed.is_set():
                self._look(connection)
                for _ in connection.notifies(timeout=_LOOK_SECONDS, stop_after=1):
                    pass

    def _look(self, connection: psycopg.Connection[tuple[object, ...]]) -> None:
        with self._lock:
            waiting = [number for number, future in self._waiting.items() if not future.done()]
        if not waiting:
            return
        rows = connection.execute(
            "SELECT id, status, words FROM upload WHERE answered IS NOT NULL AND id = ANY(%s)",
            (waiting,),
        ).fetchall()
        with self._lock:
            for number, status, words in rows:
                future = self._waiting.get(int(str(number)))
                if future is not None and not future.done():
                    future.set_result((HTTPStatus(int(str(status))), str(words)))
