"""A person says that a published file is right as it is now, whatever is remembered of it."""

from __future__ import annotations

from packaging.utils import NormalizedName

from securepip.errors import RepositoryStateError
from securepip.formats.digests import Sha256
from securepip.signing.overlay.memory import Memory
from securepip.signing.repository.repository import Repository


def accept_change(
    repository: Repository, filename: str
) -> tuple[list[tuple[NormalizedName, Sha256]], list[NormalizedName]]:
    """Accept the bytes of ``filename`` that were refused, and ask anew for what is known of it.

    Returns:
        Project and sha256 of what was refused before and is accepted now; and the projects of which
        something was forgotten that servers had said of the file: its length, its ``.metadata``.

    Raises:
        RepositoryStateError: Nothing was refused, and there is nothing to forget.
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
