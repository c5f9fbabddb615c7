"""Publishes waiting uploads together: one thread signs, and each batch is one snapshot.

Rule: an upload is answered when the timestamp that makes it current is on disk. While one batch is
signed, the next one gathers, and no batch waits until it is full. A refused upload does not keep
the others from being published, and a batch that fails leaves the repository as it was.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as WaitTimeoutError
from contextlib import ExitStack
from dataclasses import dataclass, field
from http import HTTPStatus
from queue import Empty, SimpleQueue

from securepip.signing.repository.repository import Repository
from securepip.signing.uploads.publisher import AT_ONCE, Answer, Upload, not_now, publish_uploads
from securepip.signing.uploads.refusal import UploadRefusedError

_SECONDS = 600


@dataclass(frozen=True, eq=False)
class _Waiting:
    """An upload, and the future result: the text for its sender."""

    upload: Upload
    done: Future[str] = field(default_factory=Future)


class Batches:
    """Publishes uploads in its own thread, until ``close``. Implements ``Publisher``.

    Args:
        open_repository: Opens the repository with its online key; called in that thread.
        say: Called with a line for each published upload and each failure.
    """

    def __init__(
        self, open_repository: Callable[[], Repository], say: Callable[[str], None]
    ) -> None:
        self._open = open_repository
        self._say = say
        self._waiting: SimpleQueue[_Waiting | None] = SimpleQueue()
        self._closing = threading.Lock()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="uploads")
        self._thread.start()

    def publish(self, upload: Upload) -> Answer:
        """As ``Publisher.publish``."""
        waiting = _Waiting(upload)
        with self._closing:
            if self._closed:
                raise not_now()
            self._waiting.put(waiting)
        try:
            return Answer(HTTPStatus.OK, waiting.done.result(_SECONDS))
        except WaitTimeoutError:
            raise UploadRefusedError(
                HTTPStatus.GATEWAY_TIMEOUT,
                "it takes very long to publish. Try again later: the same file twice is fine",
            ) from None

    def close(self) -> None:
        """As ``Publisher.close``."""
        with self._closing:
            if not self._closed:
                self._closed = True
                self._waiting.put(None)
        self._thread.join()

    def _run(self) -> None:
        with ExitStack() as opened:
            repository: Repository | None = None
            while batch := self._next():
                try:
                    repository = repository or opened.enter_context(self._open())
                    answers = publish_uploads(
                        repository, [each.upload for each in batch], self._say
                    )
                except Exception as error:  # after one failure, the thread has to go on
                    self._say(f"Uploads could not be published: {error or type(error).__name__}")
                    answers = [not_now() for _ in batch]
                    # The next batch opens the repository again: this object may be inconsistent.
                    opened.close()
                    repository = None
                self._answer(batch, answers)

    def _next(self) -> list[_Waiting]:
        """All waiting uploads, at least one; none after ``close``."""
        batch: list[_Waiting] = []
        waiting = self._waiting.get()
        while waiting is not None:
            batch.append(waiting)
            if len(batch) == AT_ONCE:
                return batch
            try:
                waiting = self._waiting.get_nowait()
            except Empty:
                return batch
        if batch:
            self._waiting.put(None)  # the next call returns the end
        return batch

    def _answer(
        self, batch: Sequence[_Waiting], answers: Sequence[str | UploadRefusedError]
    ) -> None:
        for each, answer in zip(batch, answers, strict=True):
            if isinstance(answer, UploadRefusedError):
                each.done.set_exception(answer)
            else:
                self._say(f"Published {each.upload.filename} (token {each.upload.token})")
                each.done.set_result(answer)
