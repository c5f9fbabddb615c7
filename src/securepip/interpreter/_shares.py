"""Several processes install at a time, each its share of what one pip has resolved and checked.

Rule: the target interpreter runs this file: standard library alone. The shares are disjoint: no two
of them write the same file, and where something is to be uninstalled there is one process as ever.

pip is loaded once, resolves once, and compares every digest before the first file is written. Where
it would begin to install, the process is copied (``fork``), and each copy goes on as pip does, with
its own part of the list. Nothing of the install is done here.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import tempfile
import threading
from typing import IO, Any

_COMMAND = "pip._internal.commands.install"
_TEMPORARY = "pip._internal.utils.temp_dir"


class Shares:
    """What each process installs.

    Args:
        shares: Names of projects. All that is in none of them belongs to the first process.
    """

    def __init__(self, shares: list[list[str]]) -> None:
        self._shares = shares
        self._others: list[tuple[int, IO[bytes], IO[bytes]]] = []

    def divide(self) -> None:
        """Have pip install in several processes, where that can be."""
        command: Any = sys.modules.get(_COMMAND)
        install = getattr(command, "install_given_reqs", None)
        if install is None or not _can_fork():
            return

        def install_own(requirements: list[Any], **options: Any) -> Any:
            return install(self._own(requirements), **options)

        command.install_given_reqs = install_own

    def finish(self) -> int:
        """Wait for the other processes, and say what they have said; returns an exit code."""
        code = 0
        if self._others:
            # An interrupt has reached them, too: they put back what they were about to do.
            signal.signal(signal.SIGINT, signal.SIG_IGN)
        for pid, said, errors in self._others:
            _, status = os.waitpid(pid, 0)
            code = code or os.WEXITSTATUS(status) or os.WTERMSIG(status)
            for stream, to in ((said, sys.stdout), (errors, sys.stderr)):
                to.flush()
                stream.seek(0)
                with stream, open(to.fileno(), "wb", closefd=False) as whole:
                    shutil.copyfileobj(stream, whole)
        return code

    def _own(self, requirements: list[Any]) -> list[Any]:
        """What is left for this process, after others were started."""
        # What is replaced is put back when its successor fails: one after another, as ever.
        if any(one.should_reinstall for one in requirements) or threading.active_count() > 1:
            return requirements
        sys.stdout.flush()
        sys.stderr.flush()
        for names in self._shares[1:]:
            share = [one for one in requirements if one.name in names]
            said, errors = _temporary_file(), _temporary_file()
            try:
                pid = os.fork()
            except OSError:
                break
            if not pid:
                self._others.clear()
                os.dup2(said.fileno(), sys.stdout.fileno())
                os.dup2(errors.fileno(), sys.stderr.fileno())
                _leave_to_the_first()
                return share
            self._others.append((pid, said, errors))
            requirements = [one for one in requirements if one not in share]
        return requirements


def _temporary_file() -> IO[bytes]:
    return tempfile.TemporaryFile()


def _can_fork() -> bool:
    # On macOS the system's own libraries do not survive it.
    return hasattr(os, "fork") and sys.platform != "darwin"


def _leave_to_the_first() -> None:
    """What is done once, at the end: temporary folders, and a warning to the superuser."""
    command: Any = sys.modules[_COMMAND]
    command.warn_if_run_as_root = lambda: None
    temporary: Any = sys.modules[_TEMPORARY]
    temporary.TempDirectory.cleanup = lambda self: None
