"""Publishes accepted uploads: the interface, and the publication of a batch.

Rule: an answer is true when it is sent. Status 200 means that the file is signed and current,
unless the operator has chosen to answer as soon as an upload is stored safely.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from http import HTTPStatus
from typing import Protocol

from securepip.errors import SecurepipError
from securepip.formats.words import first_of
from securepip.signing.publish.add import Distribution, add_each
from securepip.signing.repository.pages.contents import DamagedPageError
from securepip.signing.repository.repository import Repository
from securepip.signing.repository.state.ledger import Ledger
from securepip.signing.repository.state.log import Reason
from securepip.signing.repository.state.tokens import Token
from securepip.signing.uploads.accept import check_allowed
from securepip.signing.uploads.refusal import UploadRefusedError, bad

AT_ONCE = 1_000
"""The most uploads that are published together."""

_NAMED = 8


@dataclass(frozen=True, eq=False)
class Upload:
    """An accepted upload.

    Attributes:
        distribution: The checked distribution. Its file exists until the upload is answered.
        token: The id of its token.
    """

    distribution: Distribution
    token: str

    @property
    def filename(self) -> str:
        """The name of the distribution."""
        return self.distribution.new.filename


@dataclass(frozen=True)
class Answer:
    """The answer to an upload that is not refused.

    Attributes:
        status: The HTTP status: 200 or 202.
        words: The text for the sender.
    """

    status: HTTPStatus
    words: str


class Publisher(Protocol):
    """Publishes uploads. Use from any thread."""

    def publish(self, upload: Upload) -> Answer:
        """Publish an upload, together with others that come at the same time.

        Raises:
            UploadRefusedError: It is refused.
        """

    def close(self) -> None:
        """End, after all waiting uploads are answered."""


def publish_uploads(
    repository: Repository, batch: Sequence[Upload], say: Callable[[str], None]
) -> list[str | UploadRefusedError]:
    """Publish uploads in one snapshot. A refused upload does not keep the others from it.

    Args:
        repository: Opened with its online key.
        batch: The uploads. The same file may be among them twice.
        say: Called with a line for each problem that only the operator can solve.

    Returns:
        For each upload the text for its sender, or its refusal.

    Raises:
        RepositoryStateError: The repository cannot be changed now. Nothing was published.
    """
    refused: dict[Upload, UploadRefusedError] = {}
    with repository.lock():
        # Tokens are looked up again: one may have been revoked while its upload arrived.
        tokens = {name: _token(repository, name) for name in {upload.token for upload in batch}}
        for upload in batch:
            try:
                check_allowed(tokens[upload.token], upload.distribution.new.project)
            except UploadRefusedError as refusal:
                refused[upload] = refusal
        allowed = [upload for upload in batch if upload not in refused]
        repository.log.reason = Reason(_command(allowed))
        errors = add_each(repository, [upload.distribution for upload in allowed])
        for upload in allowed:
            error = errors.get(upload.distribution.new.path)
            if isinstance(error, DamagedPageError):
                say(f"{upload.filename} could not be published: {error}")
                refused[upload] = not_now()
            elif error is not None:
                refused[upload] = _words(repository, upload, error)
        published = {upload.token for upload in batch if upload not in refused}
        repository.state.tokens.mark_used(published)
    return [refused.get(upload, f"{upload.filename} is published") for upload in batch]


def not_now() -> UploadRefusedError:
    """Make the refusal of a good upload at a time when nothing can be published."""
    return UploadRefusedError(
        HTTPStatus.SERVICE_UNAVAILABLE,
        "the repository cannot be changed now. Try again later (the same file twice is fine); if "
        "that does not help, its operator sees why in what the server prints",
    )


def check_known(ledger: Ledger, distribution: Distribution) -> None:
    """Check that no other file of that name was ever signed, and that it was not removed.

    Raises:
        UploadRefusedError: Another file was signed, or it was removed.
    """
    new = distribution.new
    known = ledger.known(new.project).get(new.filename)
    if known is not None and known != distribution.page_file.sha256:
        # Tools that are told to skip existing files look for the words "already exists".
        raise bad(
            f"{new.filename} already exists with other bytes (sha256 {known}), and published files "
            "never change. Give the new build a new version or build number"
        )
    if ledger.is_withdrawn(new.project, new.filename):
        raise bad(
            f"{new.filename} was removed from this repository: only its operator can publish it "
            "again"
        )


def _words(repository: Repository, upload: Upload, error: SecurepipError) -> UploadRefusedError:
    """The refusal of an upload for its sender, without remedies that only the operator has."""
    project = upload.distribution.new.project
    if repository.roles().claim(project) is not None:
        return UploadRefusedError(
            HTTPStatus.FORBIDDEN,
            f"{project} signs for itself: a token cannot publish it. One of its maintainers "
            f"runs `securepip sign release {project} FILE…` and hands what that writes to the "
            "operator",
        )
    try:
        check_known(repository.ledger, upload.distribution)
    except UploadRefusedError as refusal:
        return refusal
    return bad(error.what)


def _token(repository: Repository, name: str) -> Token:
    """The present record of the token with that id; one for no project if it is gone."""
    nothing = Token(name, frozenset(), "", datetime.now(timezone.utc))
    return repository.state.tokens.get(name) or nothing


def _command(batch: Sequence[Upload]) -> str:
    """The text for a batch in the log."""
    named = [f"{each.filename} (token {each.token})" for each in batch]
    return f"upload {first_of(named, _NAMED)}"
