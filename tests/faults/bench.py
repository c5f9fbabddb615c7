"""One place where commands are run again and again from the same beginning, in processes of theirs.

Rule: everything that a scene prepares lies in ``work``, so that it is put back by copying; what
serves it lies outside, in a process of its own. A process is forked for each run: it has loaded
what it needs, and whatever it leaves behind in memory goes with it.
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
        done: What it said; None where it was killed.
        calls: What was counted.
        hit: The call that failed.
        problem: A traceback of what the run raised.
    """

    done: Finished | None
    calls: tuple[Call, ...] = ()
    hit: Call | None = None
    problem: str = ""


class Bench:
    """A folder for one scene.

    Attributes:
        folder: All of it.
        work: What a run starts from, and changes.
        served: A link to the folder that ``url`` serves.
        url: The server.
        machine: Whose commands are run.
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
        """Let the server serve a folder."""
        self.served.unlink(missing_ok=True)
        self.served.symlink_to(folder)

    def keep(self) -> None:
        """Let what is there now be what runs start from."""
        shutil.copytree(self.work, self.folder / "kept", symlinks=True)

    def restore(self) -> None:
        """Begin again."""
        shutil.rmtree(self.work, ignore_errors=True)
        shutil.copytree(self.folder / "kept", self.work, symlinks=True)

    def run(
        self, work: Callable[[], Finished], but: Sequence[Path] = (), fault: Fault | None = None
    ) -> Run:
        """Run something with its calls counted, or one of them failing."""

        def within(tell: Callable[[object], None]) -> None:
            tempfile.tempdir = None  # it was found before: what is temporary is counted, too
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
    """A bench whose server runs as long as the ``with`` lasts."""
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
    """Run ``work`` in a forked process, and wait for all that it started.

    Returns:
        Its exit code, and what it told; what it raised, as text, where it raised.
    """
    before = _children()
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            os.close(reading)
            signal.alarm(_SECONDS)  # whatever hangs is a fault
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
    """Let the children of those that are killed be ours, so that they can be waited for (Linux)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def _children() -> set[int]:
    """Our own children; none where the system does not say."""
    with suppress(OSError):
        return set(map(int, Path("/proc/thread-self/children").read_text().split()))
    return set()


def _wait_for_orphans(before: set[int]) -> None:
    """What a killed run has started ends by itself: it has lost its input."""
    for orphan in _children() - before:
        with suppress(ChildProcessError):
            os.waitpid(orphan, 0)
