"""A person accepts what was refused: other bytes of a file, or a page that lost its files."""

from __future__ import annotations

import time

from packaging.utils import canonicalize_name

from securepip.errors import RepositoryStateError
from securepip.first_use.memory import Memory
from securepip.formats.distribution import is_distribution
from securepip.signing.overlay.accept import accept_change
from securepip.signing.repository.repository import Repository
from securepip.transport import file_url_to_path
from securepip.trust import TrustedRepository


def accept(repository: TrustedRepository, what: str) -> bool:
    """Accept the change of ``what``, a file name or a project, in one repository.

    Returns:
        Whether there was something to accept.

    Raises:
        RepositoryStateError: The repository is in an odd state.
    """
    with Repository.open(file_url_to_path(repository.location)) as opened:
        memory = Memory(opened.ledger.connection, time.time())
        if not is_distribution(what):
            with opened.lock(finish=False):
                return memory.accept_loss(canonicalize_name(what))
        try:
            accepted, forgotten = accept_change(opened, what)
        except RepositoryStateError:
            return False
        memory.forget([*(project for project, _ in accepted), *forgotten])
        return True
