"""Accepts the present bytes of a file, after a person has decided that they are right."""

from __future__ import annotations

from packaging.utils import NormalizedName

from securepip.errors import RepositoryStateError
from securepip.formats.digests import Sha256
from securepip.signing.overlay.memory import Memory
from securepip.signing.repository.repository import Repository


def accept_change(
    repository: Repository, filename: str
) -> tuple[list[tuple[NormalizedName, Sha256]], list[NormalizedName]]:
    """Accept the refused bytes of ``filename``, and forget what servers said about the file.

    The next sync asks servers again for its length and its ``.metadata``.

    Returns:
        Project and sha256 of the bytes that are accepted now; and the projects for which an answer
        of a server was forgotten.

    Raises:
        RepositoryStateError: No bytes of the file were refused, and there is nothing to forget.
    """
    with repository.lock():
        ledger = repository.ledger
        forgotten = Memory(ledger.connection).forget(ledger.signed_as(filename))
        accepted: list[tuple[NormalizedName, Sha256]] = []
        try:
            accepted = ledger.accept_change(filename)
        except RepositoryStateError:
            if not forgotten:
                raise
        repository.log.note(repository.roles().timestamp.signed)
        return accepted, forgotten
