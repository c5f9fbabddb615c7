"""The projects that this machine has ever seen in a repository, so that none disappears unnoticed.

Rule: a look-up that finds nothing says only that the repository does not list the project *now*. If
the project was there before, somebody may be hiding it, and the caller must not ask the next
repository instead.

The file has one name a line and is in the state folder, because it is data and not cache. It is
read on first use, and written once, at the end of a run that has seen new projects.
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
    """The projects that were seen in one repository. Other processes may change the file too.

    Args:
        state: The folder of the repository's trusted metadata.
    """

    def __init__(self, state: Path) -> None:
        self._state = state
        self._path = state / _NAME
        self._new: set[NormalizedName] = set()
        self._before: frozenset[str] | None = None

    def add(self, project: NormalizedName) -> None:
        """Remember a project. The next ``keep`` writes it to disk."""
        self._new.add(project)

    def __contains__(self, project: NormalizedName) -> bool:
        """Whether the project was ever seen, by this run or an earlier one.

        Raises:
            SecurepipError: The file exists and cannot be read.
        """
        if self._before is None:
            self._before = self._on_disk()
        return project in self._new or project in self._before

    def forget(self, project: NormalizedName) -> bool:
        """Remove a project from the file.

        Returns:
            Whether the file had it.

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
        except OSError as error:  # or a `Timeout` of the lock
            raise SecurepipError(f"{self._path} cannot be changed: {error}") from None
        return True

    def keep(self) -> None:
        """Write the new projects to the file. If that fails, warn and go on."""
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
