"""What a worker does when it is its turn: publishes waiting uploads, and renews roles that are due.

Rule: an upload is answered after the timestamp that makes it current was written. If a worker dies
before the answer, the next one publishes the same bytes again, which changes nothing if they were
published already, and answers.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from datetime import datetime, timezone
from http import HTTPStatus
from pathlib import Path

from securepip.engine.database import DatabaseError
from securepip.engine.queue import STAGED_DIR, channel, state_of
from securepip.errors import FormatError, RepositoryStateError
from securepip.formats.digests import Sha256
from securepip.formats.words import counted
from securepip.signing.page.status_page import kept_up
from securepip.signing.publish.add import Distribution, read_distribution
from securepip.signing.publish.refresh import Refreshed, refresh
from securepip.signing.repository.repository import Repository
from securepip.signing.repository.state.connection import Connection
from securepip.signing.repository.state.log import Reason
from securepip.signing.uploads.publisher import AT_ONCE, Upload, publish_uploads
from securepip.signing.uploads.refusal import UploadRefusedError, bad
from securepip.signing.uploads.server import UPLOADS_DIR, clear_old

KEPT_DAYS = 30
"""How many days the answer to an upload is kept."""

_LEFT_OVER_SECONDS = 86_400
_FETCHES = 16
_MOST_BYTES = 1 << 30


@dataclass(frozen=True)
class _Row:
    """A waiting upload, as its table row has it."""

    number: int
    project: str
    filename: str
    sha256: Sha256
    staged: str
    token: str


class Publication:
    """Publishes for one worker. It opens the repository when needed, and keeps it open.

    It may be used from one thread at a time.

    Args:
        open_repository: Opens the repository with its online key.
        say: Called with a line for each publication and each failure.
    """

    def __init__(
        self, open_repository: Callable[[], Repository], say: Callable[[str], None]
    ) -> None:
        self._open = open_repository
        self._say = say
        self._opened = ExitStack()
        self._repository: Repository | None = None

    def close(self) -> None:
        """Close the repository. The next call opens it again."""
        self._repository = None
        self._opened.close()

    def publish(self) -> int:
        """Publish all waiting uploads in one snapshot; their number.

        Raises:
            SecurepipError: Nothing was published, and the uploads go on waiting.
        """
        try:
            return self._publish(self._at_hand())
        except BaseException:
            # The repository object may be inconsistent, or have lost its connection.
            self.close()
            raise

    def refresh(self) -> Refreshed:
        """Renew roles that are due, write the status page, and delete old answers and bytes.

        Raises:
            SecurepipError: The roles cannot be signed.
        """
        try:
            repository = self._at_hand()
            with kept_up(repository):
                repository.log.reason = Reason("repo worker")
                refreshed = refresh(repository)
            self._forget(repository)
        except BaseException:
            self.close()
            raise
        return refreshed

    def _at_hand(self) -> Repository:
        if self._repository is not None:
            try:
                state_of(self._repository).connection.execute("SELECT 1")
            except DatabaseError:
                self.close()  # the connection broke while there was nothing to do
        if self._repository is None:
            self._repository = self._opened.enter_context(self._open())
        return self._repository

    def _publish(self, repository: Repository) -> int:
        connection = state_of(repository).connection
        rows = _waiting(connection)
        if not rows:
            return 0  # another worker's job has published them
        began = time.monotonic()
        with tempfile.TemporaryDirectory(dir=_own_folder(repository)) as folder:
            answers = self._sign(repository, rows, Path(folder))
        with connection:
            self._answer(repository, answers, time.monotonic() - began)
        _delete(repository, [row.staged for row in rows])
        for row, answer in answers.items():
            if isinstance(answer, UploadRefusedError):
                self._say(f"Refused {row.filename} (token {row.token}): {answer.words}")
        refused = sum(isinstance(answer, UploadRefusedError) for answer in answers.values())
        also = f", refused {refused}" if refused else ""
        seconds = time.monotonic() - began
        self._say(f"Published {counted(len(rows) - refused, 'file')}{also} in {seconds:.1f} s")
        return len(rows)

    def _sign(
        self, repository: Repository, rows: Sequence[_Row], folder: Path
    ) -> dict[_Row, str | UploadRefusedError]:
        def fetch(row: _Row) -> Upload | UploadRefusedError:
            path = folder / str(row.number) / row.filename
            path.parent.mkdir()
            try:
                # Any other error is one of the storage and not of this upload: all uploads wait.
                repository.storage.fetch(row.staged, path)
            except FileNotFoundError:
                return _lost(row)
            try:
                distribution = read_distribution(path, datetime.now(timezone.utc))
            except (FormatError, RepositoryStateError) as error:
                return bad(str(error).replace(str(path), row.filename))
            # Whoever can write to the storage may have put other bytes there.
            return Upload(distribution, row.token) if _is(row, distribution) else _lost(row)

        with ThreadPoolExecutor(_FETCHES) as pool:
            fetched = dict(zip(rows, pool.map(fetch, rows), strict=True))
        uploads = {row: each for row, each in fetched.items() if isinstance(each, Upload)}
        answers = publish_uploads(repository, list(uploads.values()), self._say)
        refused = {row: each for row, each in fetched.items() if not isinstance(each, Upload)}
        return {**refused, **dict(zip(uploads, answers, strict=True))}

    def _answer(
        self, repository: Repository, answers: dict[_Row, str | UploadRefusedError], seconds: float
    ) -> None:
        """Record the answers to uploads, and end their jobs, which have nothing left to do."""
        connection = state_of(repository).connection
        rows = [
            (answer.status, answer.words, row.number)
            if isinstance(answer, UploadRefusedError)
            else (HTTPStatus.OK, answer, row.number)
            for row, answer in answers.items()
        ]
        refused = sum(status is not HTTPStatus.OK for status, _, _ in rows)
        connection.executemany(
            "UPDATE upload SET answered = now(), status = ?, words = ? WHERE id = ?",
            [(int(status), words, number) for status, words, number in rows],
        )
        numbers = [row.number for row in answers]
        connection.execute(
            "SELECT procrastinate_cancel_job_v1(job, false, true) FROM upload WHERE id = ANY(?)",
            (numbers,),
        )
        connection.execute(
            "UPDATE tally SET publications = publications + 1, seconds = seconds + ?,"
            " files = files + ?, refused = refused + ?",
            (seconds, len(rows) - refused, refused),
        )
        connection.execute(f"NOTIFY {channel(connection)}")

    def _forget(self, repository: Repository) -> None:
        """Delete old answers, and bytes that a killed front end has left."""
        connection = state_of(repository).connection
        connection.execute(
            "DELETE FROM upload WHERE answered < now() - make_interval(days => ?)", (KEPT_DAYS,)
        )
        rows = connection.execute("SELECT staged FROM upload WHERE answered IS NULL")
        waiting = {str(staged) for (staged,) in rows}
        old = time.time() - _LEFT_OVER_SECONDS
        staged = [*repository.storage.list(STAGED_DIR)]
        repository.storage.delete(
            *(each.name for each in staged if each.name not in waiting and each.modified < old)
        )


def _is(row: _Row, distribution: Distribution) -> bool:
    """Whether a distribution is the one that was uploaded."""
    return (distribution.new.project, distribution.page_file.sha256) == (row.project, row.sha256)


def _lost(row: _Row) -> UploadRefusedError:
    return UploadRefusedError(
        HTTPStatus.SERVICE_UNAVAILABLE,
        f"{row.filename} was kept, and is not there any more: upload it again",
    )


def _own_folder(repository: Repository) -> Path:
    """The folder for files that are being published, without those of killed workers."""
    folder = repository.home / UPLOADS_DIR
    clear_old(folder)
    return folder


def _delete(repository: Repository, names: Sequence[str]) -> None:
    """Delete staged bytes. If that fails, ``_forget`` deletes them when they are old."""
    with suppress(OSError):
        repository.storage.delete(*names)
        repository.storage.settle()


def _waiting(connection: Connection) -> list[_Row]:
    """The waiting uploads, the oldest first, as many as this machine should fetch at once."""
    rows = connection.execute(
        "SELECT id, project, filename, sha256, staged, token, size FROM upload"
        " WHERE answered IS NULL ORDER BY id LIMIT ?",
        (AT_ONCE,),
    )
    waiting: list[_Row] = []
    left = _MOST_BYTES
    for number, project, filename, sha256, staged, token, size in rows:
        left -= size
        if waiting and left < 0:
            break
        waiting.append(_Row(number, project, filename, Sha256(sha256), staged, token))
    return waiting
