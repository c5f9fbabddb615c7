"""What becomes of an upload that was read and found good: one interface for who publishes it.

Rule: what is answered is true when it is said. `200` is for what is signed and current, unless the
operator has chosen to answer as soon as an upload is kept safe.
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
"""So many uploads are published together, at most."""

_NAMED = 8


@dataclass(frozen=True, eq=False)
class Upload:
    """A distribution that somebody has sent.

    Attributes:
        distribution: It, checked. Its file is there until it is answered.
        token: The id of the token with which it came.
    """

    distribution: Distribution
    token: str

    @property
    def filename(self) -> str:
        """Its name."""
        return self.distribution.new.filename


@dataclass(frozen=True)
class Answer:
    """What is said to the sender of an upload that is not refused.

    Attributes:
        status: Of HTTP: 200 or 202.
        words: In words.
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
        """End, once what waits here is answered."""


def publish_uploads(
    repository: Repository, batch: Sequence[Upload], say: Callable[[str], None]
) -> list[str | UploadRefusedError]:
    """Publish uploads in one snapshot; one that is refused keeps no other from it.

    Args:
        repository: Opened with its online key.
        batch: They. The same file may be among them twice.
        say: Told in a line what only the operator can mend.

    Returns:
        For each the words for its sender: it is published, or it is refused.

    Raises:
        RepositoryStateError: Nothing was published: the repository cannot be changed now.
    """
    refused: dict[Upload, UploadRefusedError] = {}
    with repository.lock():
        # Asked again: a token that was revoked while its upload came is worth nothing.
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
    """As for an upload that is good, at a moment at which nothing can be published."""
    return UploadRefusedError(
        HTTPStatus.SERVICE_UNAVAILABLE,
        "the repository cannot be changed now. Try again later (the same file twice is fine); if "
        "that does not help, its operator sees why in what the server prints",
    )


def check_known(ledger: Ledger, distribution: Distribution) -> None:
    """See to it that no other file of that name was ever signed, and that it was not removed.

    Raises:
        UploadRefusedError: That is not so.
    """
    new = distribution.new
    known = ledger.known(new.project).get(new.filename)
    if known is not None and known != distribution.page_file.sha256:
        # "already exists" is what tools look for when they are told to skip such files.
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
    """Why an upload is refused, for its sender: what only the operator can do is left out."""
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
    """The token with that id as it is now; one that is gone is for no project."""
    nothing = Token(name, frozenset(), "", datetime.now(timezone.utc))
    return repository.state.tokens.get(name) or nothing


def _command(batch: Sequence[Upload]) -> str:
    """What the log says of a batch."""
    named = [f"{each.filename} (token {each.token})" for each in batch]
    return f"upload {first_of(named, _NAMED)}"
