"""Processes of the target's interpreter that compile; each gets lines and answers with lines.

Rule: byte code that is kept for other environments is compiled by an interpreter that runs without
this environment's start-up files and variables (``SourceCompiler``).
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from heapq import heappop, heappush
from mmap import mmap
from pathlib import Path
from typing import Any

from securepip.errors import InstallationError
from securepip.formats.digests import Sha256
from securepip.installer.target import _compile_worker
from securepip.installer.target.byte_code import Interpreter, WheelCode
from securepip.interpreter.process import clean_environment

_BYTES_AT_ONCE = 200_000
"""How many bytes of source a worker compiles in about the time that another takes to start."""


Part = tuple[list[str], list[Any], Path]
"""Names of members, a worker's answer about them, and the file that holds their code."""


@dataclass(frozen=True)
class Source:
    """A Python file of a wheel.

    Attributes:
        member: Its name in the wheel.
        size: Its length in bytes.
    """

    member: str
    size: int


@dataclass(frozen=True, eq=False)
class Sources:
    """The Python files of a wheel.

    Attributes:
        wheel: The private copy of the wheel.
        sha256: The wheel's digest, which was verified.
        files: The Python files.
    """

    wheel: Path
    sha256: Sha256
    files: tuple[Source, ...]

    @property
    def size(self) -> int:
        """Their length together, in bytes."""
        return sum(source.size for source in self.files)


class Worker:
    """One process of ``_compile_worker``. Any thread may use it.

    Args:
        python: The interpreter, and its options.
        arguments: The worker's arguments.

    Raises:
        InstallationError: It cannot be started.
    """

    def __init__(self, *python: str, arguments: Sequence[str] = ()) -> None:
        try:
            self._process = subprocess.Popen(
                [*python, _compile_worker.__file__, *arguments],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=clean_environment(),
                encoding="ascii",
                start_new_session=True,
            )
        except OSError as error:
            raise InstallationError(f"{python[0]} cannot be run: {error}") from None
        self._lock = threading.Lock()

    def read(self) -> Any:
        """The next answer.

        Raises:
            ValueError: The process has ended, or its answer is not JSON.
        """
        line = self._process.stdout.readline() if self._process.stdout else ""
        if not line:
            raise ValueError("the interpreter ended early")
        return json.loads(line)

    def ask(self, question: object) -> Any:
        """The answer to a question.

        Raises:
            OSError: The process has ended.
            ValueError: As ``read``.
        """
        with self._lock:
            print(json.dumps(question), file=self._process.stdin, flush=True)
            return self.read()

    def end(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.wait()

    def close(self) -> None:
        """Close the pipes to the process. No thread may use it any more."""
        for stream in (self._process.stdin, self._process.stdout):
            if stream:
                with contextlib.suppress(OSError):
                    stream.close()


class SourceCompiler:
    """Compiles sources in wheels, in parallel. It starts processes when there is work for them.

    The largest waiting wheel is compiled first, so that in the end no process is left with a large
    one.

    Args:
        python: The target's interpreter.
        interpreter: Its description.
        folder: A private folder for the workers' files.
    """

    def __init__(self, python: Path, interpreter: Interpreter, folder: Path) -> None:
        self._python, self._interpreter, self._folder = str(python), interpreter, folder
        self._pool = ThreadPoolExecutor(os.cpu_count() or 1)
        self._own = threading.local()
        self._lock = threading.Lock()
        self._workers: list[Worker] = []
        self._closed = False
        self._parts = 0
        self._waiting: list[tuple[int, int]] = []  # the size of the wheel, negative, and the part
        self._jobs: dict[int, tuple[Future[Part], Callable[[], Part]]] = {}

    def compile(self, sources: Sources) -> list[Future[Part]]:
        """Begin to compile the sources of a wheel.

        Returns:
            The parts of the result, for ``joined``.

        Raises:
            ValueError: It is closed.
        """
        parts: list[list[str]] = []
        size = _BYTES_AT_ONCE
        for source in sources.files:
            if size >= _BYTES_AT_ONCE:
                parts.append([])
                size = 0
            parts[-1].append(source.member)
            size += source.size
        started: list[Future[Part]] = []
        with self._lock:
            if self._closed:
                raise ValueError("it is too late to compile")
            for members in parts:
                self._parts += 1
                output = self._folder / f"code-{self._parts}"
                call = partial(self._compile, sources.wheel, members, output)
                started.append(Future())
                self._jobs[self._parts] = started[-1], call
                heappush(self._waiting, (-sources.size, self._parts))
                self._pool.submit(self._next)
        return started

    def close(self) -> None:
        """End all processes."""
        with self._lock:
            self._closed = True
            for worker in self._workers:
                worker.end()
            for part, _ in self._jobs.values():
                part.cancel()
        self._pool.shutdown(cancel_futures=True)
        for worker in self._workers:
            worker.close()

    def _next(self) -> None:
        with self._lock:
            part, call = self._jobs.pop(heappop(self._waiting)[1])
        if part.set_running_or_notify_cancel():
            try:
                part.set_result(call())
            except BaseException as error:
                part.set_exception(error)

    def _compile(self, wheel: Path, members: list[str], output: Path) -> Part:
        question = [str(wheel), members, self._interpreter.level, str(output)]
        return members, self._worker().ask(question), output

    def _worker(self) -> Worker:
        """The worker of this thread."""
        worker: Worker | None = getattr(self._own, "worker", None)
        if worker is not None:
            return worker
        with self._lock:
            if self._closed:
                raise ValueError("it is too late to start an interpreter")
            worker = Worker(self._python, "-I", "-S")
            self._workers.append(worker)
        # It must be the target's: a wrapper script may start another interpreter with `-I -S`.
        if Interpreter.parse(worker.read()).identity != self._interpreter.identity:
            raise ValueError("the interpreter is another one without its surroundings")
        self._own.worker = worker
        return worker


def joined(parts: Sequence[Future[Part]]) -> mmap:
    """Wait for all parts of a wheel, and join them with ``WheelCode.join``.

    Raises:
        OSError: A process has ended, or its file cannot be read.
        ValueError: A process gave another answer than it should.
        CancelledError: The compiler was closed.
    """
    done = [part.result() for part in parts]
    code = WheelCode.join(done)
    for _, _, path in done:
        path.unlink()
    return code
