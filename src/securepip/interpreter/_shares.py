"""Lets several copies of pip install at the same time, each its share of the plan.

Rule: the target interpreter runs this file, so it imports only the standard library. No two shares
write the same file.

pip is loaded once, and the process is then copied (``fork``). Each copy runs pip with its share.
Before pip installs, each process reports that it has resolved its share and checked every digest,
and waits for the others. If one fails before that, nothing is installed, as with one process. If a
process would replace installed distributions, the processes install one after another, because one
could remove what another has just written.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import tempfile
import threading
from itertools import chain
from typing import IO, Any

_COMMAND = "pip._internal.commands.install"
_SAID_ONCE = "--root-user-action=ignore"
_ADDS, _REPLACES, _GO = b"a", b"r", b"g"


class Shares:
    """The first process with its copies, or, in a copy, that copy."""

    def __init__(self) -> None:
        self.have_begun = False
        """Whether the processes were told to install."""
        self._others: list[_Other] = []
        self._first: tuple[int, int] | None = None

    @property
    def is_copy(self) -> bool:
        """Whether this process was copied from the first."""
        return self._first is not None

    def begin(self, shares: list[list[str]]) -> list[str]:
        """Start the other processes.

        Args:
            shares: For each process the arguments to add to pip's command line.

        Returns:
            What this process adds: its share, or all shares if it cannot be copied.
        """
        command: Any = sys.modules.get(_COMMAND)
        install = getattr(command, "install_given_reqs", None)
        if install is None or not _can_fork():
            return list(chain(*shares))
        own = list(shares[0])
        for at, share in enumerate(shares[1:], 1):
            try:
                is_copy = self._copy()
            except OSError:
                own += chain(*shares[at:])
                break
            if is_copy:
                own = [*share, _SAID_ONCE]
                break
        command.install_given_reqs = lambda requirements, **options: (
            install(requirements, **options) if self._may(requirements) else []
        )
        return own

    def finish(self, code: Any) -> Any:
        """Wait for the other processes, and print their output, up to the first that failed.

        Args:
            code: The exit code of this process.

        Returns:
            The first exit code that is not 0; 0 if there is none.
        """
        if self._others:
            # An interrupt has reached them too, and they roll back.
            signal.signal(signal.SIGINT, signal.SIG_IGN)
        for other in self._others:
            other.tell(b"")
        for other in self._others:
            ended = other.wait()
            if not code:
                other.repeat()
            code = code or ended
        return code

    def _copy(self) -> bool:
        """Copy this process.

        Returns:
            Whether this is the copy.
        """
        other = _Other()
        sys.stdout.flush()
        sys.stderr.flush()
        other.pid = os.fork()
        if other.pid:
            other.keep_first_end()
            self._others.append(other)
            return False
        for sibling in self._others:
            sibling.close()
        self._others = []
        self._first = other.keep_second_end()
        return True

    def _may(self, requirements: list[Any]) -> bool:
        """Wait for the other processes.

        Returns:
            Whether this process may install.
        """
        says = _REPLACES if any(one.should_reinstall for one in requirements) else _ADDS
        if self._first is not None:
            report, go = self._first
            os.write(report, says)
            os.close(report)
            return os.read(go, 1) == _GO
        reports = [says, *(other.report() for other in self._others)]
        if b"" in reports:
            return False
        self.have_begun = True
        for other in self._others:
            other.tell(_GO)
            if _REPLACES in reports and other.wait():
                return False
        return True


class _Other:
    """A copy of this process, with the pipes to it and from it."""

    def __init__(self) -> None:
        self.pid = 0
        self._ended: int | None = None
        self._reports, self._report = os.pipe()
        self._waits, self._go = os.pipe()
        self._said, self._errors = _temporary_file(), _temporary_file()

    def keep_first_end(self) -> None:
        os.close(self._report)
        os.close(self._waits)

    def keep_second_end(self) -> tuple[int, int]:
        os.close(self._reports)
        os.close(self._go)
        os.dup2(self._said.fileno(), sys.stdout.fileno())
        os.dup2(self._errors.fileno(), sys.stderr.fileno())
        return self._report, self._waits

    def close(self) -> None:
        """Close the pipes that a copy has inherited: only the first process may hold them open."""
        os.close(self._reports)
        self.tell(b"")

    def report(self) -> bytes:
        """Wait until it is ready to install; b"" if it ended before that."""
        return os.read(self._reports, 1)

    def tell(self, word: bytes) -> None:
        """Tell it whether it may install. Only the first call counts."""
        if self._go < 0:
            return
        try:
            os.write(self._go, word)
        except BrokenPipeError:
            pass  # it has ended, and its output says why
        finally:
            os.close(self._go)
            self._go = -1

    def wait(self) -> int:
        """Wait for its end, and return its exit code."""
        if self._ended is None:
            _, status = os.waitpid(self.pid, 0)
            # 128 + the signal, as in a shell: the signal's number alone is an exit code of pip too.
            killed = os.WIFSIGNALED(status)
            self._ended = 128 + os.WTERMSIG(status) if killed else os.WEXITSTATUS(status)
        return self._ended

    def repeat(self) -> None:
        """Print its output."""
        for stream, to in ((self._said, sys.stdout), (self._errors, sys.stderr)):
            to.flush()
            stream.seek(0)
            with stream, open(to.fileno(), "wb", closefd=False) as whole:
                shutil.copyfileobj(stream, whole)


def _temporary_file() -> IO[bytes]:
    return tempfile.TemporaryFile()


def _can_fork() -> bool:
    # macOS's own libraries do not work after a fork, and other threads do not exist after it.
    return hasattr(os, "fork") and sys.platform != "darwin" and threading.active_count() == 1
