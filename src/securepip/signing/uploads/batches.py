"""Uploads that wait, published together: one thread signs, and each batch is one snapshot.

Rule: an upload is answered when the timestamp that makes it current is on the disk. While one batch
is signed, the next gathers; nobody waits for a full one. A refused upload keeps no other from being
published, and a batch that fails leaves the repository as it was.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from queue import Empty, SimpleQueue

from securepip.errors import SecurepipError
from securepip.formats.words import first_of
from securepip.signing.publish.add import Distribution, add_each
from securepip.signing.repository.pages.contents import DamagedPageError
from securepip.signing.repository.repository import Repository
from securepip.signing.repository.state.log import Reason
from securepip.signing.repository.state.tokens import Token
from securepip.signing.uploads.accept import check_allowed
from securepip.signing.uploads.refusal import UploadRefusedError, bad

_MOST = 1_000
_NAMED = 8


@dataclass(frozen=True, eq=False)
class Upload:
    """A distribution that waits.

    Attributes:
        distribution: It, checked. Its file is there until ``done``.
        token: With which it came.
        done: Gets the words for the sender, or an ``UploadRefusedError``.
    """

    distribution: Distribution
    token: Token
    done: Future[str] = field(default_factory=Future)

    @property
    def filename(self) -> str:
        """Its name."""
        return self.distribution.new.filename


class Batches:
    """Publishes uploads in a thread of its own, until ``close``.

    Args:
        open_repository: Opens the repository with its online key; called in that thread.
        say: Told in a line what was published, and what went wrong.
    """

    def __init__(
        self, open_repository: Callable[[], Repository], say: Callable[[str], None]
    ) -> None:
        self._open = open_repository
        self._say = say
        self._waiting: SimpleQueue[Upload | None] = SimpleQueue()
        self._closing = threading.Lock()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="uploads")
        self._thread.start()

    def add(self, upload: Upload) -> None:
        """Let an upload wait for the next batch.

        Raises:
            UploadRefusedError: There is none any more.
        """
        with self._closing:
            if self._closed:
                raise _not_now()
            self._waiting.put(upload)

    def close(self) -> None:
        """Publish what waits, and end."""
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
                    answers = self._publish(repository, batch)
                except Exception as error:  # one failure must not end the thread: all wait for it
                    self._say(f"Uploads could not be published: {error or type(error).__name__}")
                    answers = [_not_now() for _ in batch]
                    # Opened anew for the next: what this one holds may be half of a state.
                    opened.close()
                    repository = None
                self._answer(batch, answers)

    def _next(self) -> list[Upload]:
        """All that waits, at least one; none at the end."""
        batch: list[Upload] = []
        upload = self._waiting.get()
        while upload is not None:
            batch.append(upload)
            if len(batch) == _MOST:
                return batch
            try:
                upload = self._waiting.get_nowait()
            except Empty:
                return batch
        if batch:
            self._waiting.put(None)  # the end is for the next one
        return batch

    def _publish(
        self, repository: Repository, batch: Sequence[Upload]
    ) -> list[str | UploadRefusedError]:
        refused: dict[Upload, UploadRefusedError] = {}
        with repository.lock():
            for upload in batch:
                # Asked again: a token that was revoked while its upload came is worth nothing.
                token = repository.state.tokens.get(upload.token.id) or replace(
                    upload.token, projects=frozenset()
                )
                try:
                    check_allowed(token, upload.distribution.new.project)
                except UploadRefusedError as refusal:
                    refused[upload] = refusal
            allowed = [upload for upload in batch if upload not in refused]
            repository.log.reason = Reason(_command(allowed))
            errors = add_each(repository, [upload.distribution for upload in allowed])
            for upload in allowed:
                error = errors.get(upload.distribution.new.path)
                if isinstance(error, DamagedPageError):
                    self._say(f"{upload.filename} could not be published: {error}")
                    refused[upload] = _not_now()
                elif error is not None:
                    refused[upload] = _words(repository, upload, error)
            published = {upload.token.id for upload in batch if upload not in refused}
            repository.state.tokens.mark_used(published)
        return [refused.get(upload, f"{upload.filename} is published") for upload in batch]

    def _answer(self, batch: Sequence[Upload], answers: Sequence[str | UploadRefusedError]) -> None:
        for upload, answer in zip(batch, answers, strict=True):
            if isinstance(answer, UploadRefusedError):
                upload.done.set_exception(answer)
            else:
                self._say(f"Published {upload.filename} (token {upload.token.id})")
                upload.done.set_result(answer)


def _not_now() -> UploadRefusedError:
    return UploadRefusedError(
        HTTPStatus.SERVICE_UNAVAILABLE,
        "the repository cannot be changed now. Try again later (the same file twice is fine); if "
        "that does not help, its operator sees why in what the server prints",
    )


def _words(repository: Repository, upload: Upload, error: SecurepipError) -> UploadRefusedError:
    """Why an upload is refused, for its sender: what only the operator can do is left out."""
    new, sha256 = upload.distribution.new, upload.distribution.page_file.sha256
    if repository.roles().claim(new.project) is not None:
        return UploadRefusedError(
            HTTPStatus.FORBIDDEN,
            f"{new.project} signs for itself: a token cannot publish it. One of its maintainers "
            f"runs `securepip sign release {new.project} FILE…` and hands what that writes to the "
            "operator",
        )
    known = repository.ledger.known(new.project).get(new.filename)
    if known is not None and known != sha256:
        # "already exists" is what tools look for when they are told to skip such files.
        return bad(
            f"{new.filename} already exists with other bytes (sha256 {known}), and published files "
            "never change. Give the new build a new version or build number"
        )
    if repository.ledger.is_withdrawn(new.project, new.filename):
        return bad(
            f"{new.filename} was removed from this repository: only its operator can publish it "
            "again"
        )
    return bad(error.what)


def _command(batch: Sequence[Upload]) -> str:
    """What the log says of a batch."""
    named = [f"{each.filename} (token {each.token.id})" for each in batch]
    return f"upload {first_of(named, _NAMED)}"
