"""Remembers, for the operator, frozen projects and changes of keys that wait for offline keys.

Rule: nothing here is believed without its signatures. A waiting change of keys is the maintainers'
own transaction, and is checked again when it takes effect.
"""

from __future__ import annotations

import shlex
from pathlib import Path

from packaging.utils import NormalizedName

from securepip.errors import RepositoryStateError
from securepip.signing.repository.config import UNFINISHED_DIR
from securepip.signing.repository.repository import Repository
from securepip.signing.repository.storage.files import Writer

PENDING_DIR = "pending-keys"
"""The folder of the waiting changes of keys, below ``UnderWay``."""

_END = ".zip"


class Register:
    """The register of one repository. The lock must be held to change it."""

    def __init__(self, repository: Repository) -> None:
        self._repository = repository
        self._under_way = repository.state.under_way
        self._connection = repository.ledger.connection

    def freeze(self, project: NormalizedName, why: str) -> None:
        """Accept nothing of ``project`` until it is thawed."""
        with self._connection:
            self._connection.execute(
                "INSERT INTO frozen VALUES (?, ?)"
                " ON CONFLICT (project) DO UPDATE SET why = excluded.why",
                (project, why),
            )

    def thaw(self, project: NormalizedName) -> bool:
        """Accept transactions of ``project`` again.

        Returns:
            Whether it was frozen.
        """
        with self._connection:
            deleted = self._connection.execute("DELETE FROM frozen WHERE project = ?", (project,))
        return deleted.rowcount > 0

    def frozen(self) -> dict[NormalizedName, str]:
        """All frozen projects, and why."""
        rows = self._connection.execute("SELECT project, why FROM frozen ORDER BY project")
        return {NormalizedName(project): why for project, why in rows}

    def check_not_frozen(self, project: NormalizedName) -> None:
        """Check that ``project`` is not frozen.

        Raises:
            RepositoryStateError: It is frozen.
        """
        why = self.frozen().get(project)
        if why is not None:
            raise RepositoryStateError(
                f"{project} is frozen{f' ({why})' if why else ''}: nothing of it is accepted",
                remedy="securepip repo freeze "
                f"{shlex.quote(self._repository.address)} {project} --lift",
            )

    def keep_pending(self, project: NormalizedName, transaction: Path) -> None:
        """Keep a change of keys until the offline keys are here. It replaces an older one."""
        path = self._under_way.folder(PENDING_DIR) / _name(project)
        Writer(self._repository.home / UNFINISHED_DIR).write(path, transaction.read_bytes())
        self._under_way.keep(PENDING_DIR)

    def pending(self, project: NormalizedName) -> Path | None:
        """The waiting change of keys of ``project``; None if there is none."""
        return self._under_way.file(PENDING_DIR, _name(project))

    def all_pending(self) -> list[NormalizedName]:
        """The projects whose change of keys waits for the offline keys."""
        names = self._under_way.names(PENDING_DIR)
        return sorted(NormalizedName(name.removesuffix(_END)) for name in names if _END in name)

    def forget_pending(self, project: NormalizedName) -> None:
        """Forget the waiting change of keys of ``project``, if there is one."""
        self._under_way.forget(PENDING_DIR, _name(project))


def _name(project: NormalizedName) -> str:
    return project + _END
