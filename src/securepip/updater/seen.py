"""Which projects this machine has ever seen in a repository, so that none disappears unnoticed.

Rule: a look-up that finds nothing says that the repository does not know a project *now*, and only
that. Where the project was there before, the caller must not go on as if it had never been.

The names are one a line in a file of the state folder, which is data and not cache. It is read
when it is needed and written once, at the end of a run that has seen new ones.
"""

from __future__ import annotations

import logging
from pathlib import Path

from filelock import FileLock
from packaging.utils import NormalizedName

from securepip.dirs import replace_file
from securepip.errors import SecurepipError

_NAME = "projects-seen"
_LOCK_SECONDS = 10.0
_log = logging.getLogger(__name__)


class Seen:
    """The projects that were seen in one repository. Other processes may change them meanwhile.

    Args:
        state: The folder of the repository's trusted metadata.
    """

    def __init__(self, state: Path) -> None:
        self._state = state
        self._path = state / _NAME
        self._new: set[NormalizedName] = set()
        self._before: frozenset[str] | None = None

    def add(self, project: NormalizedName) -> None:
        """Remember a project; on disk from the next ``keep`` on."""
        self._new.add(project)

    def __contains__(self, project: NormalizedName) -> bool:
        """Whether the project was ever seen, by this run or an earlier one.

        Raises:
            SecurepipError: The file cannot be read. It is not taken for an empty one.
        """
        if self._before is None:
            self._before = self._on_disk()
        return project in self._new or project in self._before

    def forget(self, project: NormalizedName) -> bool:
        """Forget a project, on disk; whether it had been seen.

        Raises:
            SecurepipError: The file cannot be read or written.
        """
        self._new.discard(project)
        self._before = None
        try:
            with self._locked():
                names = self._on_disk()
                if project not in names:
                    return False
                self._write(names - {project})
        except OSError as error:  # also where another process keeps the lock
            raise SecurepipError(f"{self._path} cannot be changed: {error}") from None
        return True

    def keep(self) -> None:
        """Write what is new. That it cannot be written is said, and ends no run."""
        if not self._new:
            return
        new = frozenset(self._new)
        try:
            if new <= self._on_disk():
                return
            with self._locked():
                self._write(self._on_disk() | new)
        except (OSError, SecurepipError) as error:
            _log.warning(
                "%s cannot be written: %s\nWhat was seen in the repository now is not remembered.",
                self._path,
                error,
            )
        else:
            self._new -= new

    def _locked(self) -> FileLock:
        return FileLock(self._state / ".projects-seen.lock", timeout=_LOCK_SECONDS, mode=0o600)

    def _write(self, names: frozenset[str]) -> None:
        replace_file(self._path, "".join(f"{name}\n" for name in sorted(names)).encode())

    def _on_disk(self) -> frozenset[str]:
        try:
            return frozenset(self._path.read_text("utf-8").split())
        except FileNotFoundError:
            return frozenset()
        except (OSError, ValueError) as error:
            raise SecurepipError(
                f"{self._path} cannot be read: {error}",
                meaning="It says which projects this machine has seen in the repository, so that "
                "none can be hidden.",
                remedy="Make it readable; it has one name a line. Or remove the repository and add "
                "it again: `securepip trust`.",
            ) from None
