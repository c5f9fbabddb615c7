"""Runs commands again and again from the same state, each in a forked process.

Rule: everything that a scene prepares is in ``work``, which is restored from a copy. The server is
a process outside of it. A forked process has all imports already, and leaves nothing in memory.
"""

from __future__ import annotations

import ctypes
import json
import os
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.faults.injector import KILLED, Call, Fault, Injector
from tests.support.hostile import serve_hostile
from tests.support.machine import Finished, Machine

_SECONDS = 300
_PR_SET_CHILD_SUBREAPER = 36


@dataclass(frozen=True)
class Run:
    """A run that has ended.

    Attributes:
        done: Its outcome; None if it was killed.
        calls: The counted calls.
        hit: The call that failed.
        problem: The traceback, if the run raised an error.
    """

    done: Finished | None
    calls: tuple[Call, ...] = ()
    hit: Call | None = None
    problem: str = ""


class Bench:
    """The folder of a scene.

    Attributes:
        folder: The whole folder.
        work: The state, which each run starts from and changes.
        served: A link to the folder that ``url`` serves.
        url: The server's URL.
        machine: The machine that runs the commands.
    """

    def __init__(self, folder: Path, environment: Path, url: str) -> None:
        self.folder, self.url = folder, url
        self.work, self.served = folder / "work", folder / "served"
        self.work.mkdir()
        self.serve(self.work)
        home = self.work / "machine"
        home.mkdir()
        self.machine = Machine(home, environment)
        (home / "tmp").mkdir()
        self.machine.variables |= {"TMPDIR": str(home / "tmp")}

    def serve(self, folder: Path) -> None:
        """Let the server serve this folder."""
        self.served.unlink(missing_ok=True)
        self.served.symlink_to(folder)

    def keep(self) -> None:
        """Keep the present state as that which runs start from."""
        shutil.copytree(self.work, self.folder / "kept", symlinks=True)

    def restore(self) -> None:
        """Restore that state."""
        shutil.rmtree(self.work, ignore_errors=True)
        shutil.copytree(self.folder / "kept", self.work, symlinks=True)

    def run(
        self, work: Callable[[], Finished], but: Sequence[Path] = (), fault: Fault | None = None
    ) -> Run:
        """Run something, and count its calls or let one of them fail."""

        def within(tell: Callable[[object], None]) -> None:
            tempfile.tempdir = None  # so that the fault also finds temporary files
            injector = Injector([self.work], but, fault)
            injector.install()
            done = work()
            injector.stop()
            calls = [[call.kind, call.path, call.place] for call in injector.calls]
            hit = injector.hit and [injector.hit.kind, injector.hit.path, injector.hit.place]
            tell([[done.code, done.out, done.err], calls if fault is None else [], hit])

        code, said = in_child(within)
        if code == KILLED:
            return Run(None)
        if code or not said:
            return Run(None, problem=f"exit code {code}: {said}")
        done, calls, hit = said
        return Run(
            Finished(*done), tuple(Call(*call) for call in calls), Call(*hit) if hit else None
        )


@contextmanager
def bench(folder: Path, environment: Path) -> Iterator[Bench]:
    """Make a bench, whose server runs for as long as the ``with`` lasts."""
    folder.mkdir(parents=True)
    reading, writing = os.pipe()
    server = os.fork()
    if server == 0:
        try:
            os.close(reading)
            with serve_hostile(folder / "served") as hostile, os.fdopen(writing, "w") as stream:
                stream.write(hostile.url)
                stream.close()
                while os.getppid() != 1:
                    time.sleep(1)
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as stream:
        url = stream.read()
    try:
        yield Bench(folder, environment, url)
    finally:
        os.kill(server, signal.SIGKILL)
        os.waitpid(server, 0)
        shutil.rmtree(folder, ignore_errors=True)


def in_child(work: Callable[[Callable[[object], None]], None]) -> tuple[int, Any]:
    """Run ``work`` in a forked process, and wait for the processes that it started.

    Returns:
        The exit code, and the result; if it raised an error, the traceback.
    """
    before = _children()
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            os.close(reading)
            signal.alarm(_SECONDS)  # a hang is a fault
            said: list[object] = []
            try:
                work(said.append)
                code = 0
            except BaseException:
                said = [traceback.format_exc()]
            data = json.dumps(said[0] if said else None).encode()
            while data:
                data = data[os.write(writing, data) :]
        finally:
            os._exit(code)
    os.close(writing)
    with os.fdopen(reading, "rb") as stream:
        data = stream.read()
    _, status = os.waitpid(child, 0)
    _wait_for_orphans(before)
    with suppress(ValueError):
        return os.waitstatus_to_exitcode(status), json.loads(data)
    return os.waitstatus_to_exitcode(status), None


def adopt_orphans() -> None:
    """Become the parent of a killed process's children, to wait for them (Linux)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def _children() -> set[int]:
    """The children of this process; none if the system does not list them."""
    with suppress(OSError):
        return set(map(int, Path("/proc/thread-self/children").read_text().split()))
    return set()


def _wait_for_orphans(before: set[int]) -> None:
    """Wait for the processes that a killed run has started: they end because their input ends."""
    for orphan in _children() - before:
        with suppress(ChildProcessError):
            os.waitpid(orphan, 0)
