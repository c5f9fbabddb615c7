"""Byte-compilation of what pip has installed: in parallel, and by the target's interpreter.

Rule: the end state is that of ``pip install`` without ``--no-compile``: the same byte code, the
same rows in RECORD. pip compiles one file after another once everything else of a distribution is
there; here the files of one distribution are compiled while pip unpacks the next.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import subprocess
import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from securepip.errors import InstallationError
from securepip.installer.target import _compile_worker
from securepip.interpreter.process import clean_environment

_BYTES_PER_WORKER = 200_000
"""Source (bytes) that one worker compiles in about the time another takes to start."""

Scheme = Mapping[str, str]
"""Where pip puts the parts of a wheel: ``purelib``, ``platlib``, ``scripts``, ``data``."""


@dataclass(frozen=True)
class Source:
    """A Python file of a wheel: its path in the wheel and its length in bytes."""

    member: str
    size: int


@dataclass(frozen=True)
class _Compiled:
    mtime_ns: int
    size: int
    byte_code: str | None


class Compiler:
    """Processes of the target's interpreter that compile, largest file first.

    Args:
        python: The target's interpreter.
        location: pip's options that say where to install (``user``, ``target``, ``prefix``,
            ``root``).
        source_bytes: How much there will be to compile; decides how many processes there are.
    """

    def __init__(self, python: Path, location: Mapping[str, str], source_bytes: int) -> None:
        self._waiting: queue.PriorityQueue[tuple[int, str]] = queue.PriorityQueue()
        self._compiled: dict[str, _Compiled | None] = {}
        self._failure: Exception | None = None
        count = max(1, min(os.cpu_count() or 1, source_bytes // _BYTES_PER_WORKER))
        command = [str(python), _compile_worker.__file__, json.dumps(dict(location))]
        self._workers = [_start(command) for _ in range(count)]
        self._threads: list[threading.Thread] = []

    def schemes(self) -> Sequence[Scheme]:
        """Where pip may install to, first choice first. Called once, before ``submit``.

        Raises:
            InstallationError: The interpreter does not run.
        """
        try:
            answers = [json.loads(_line(worker)) for worker in self._workers]
        except (OSError, ValueError) as error:
            raise InstallationError(f"The target's interpreter does not run: {error}") from None
        for worker in self._workers:
            thread = threading.Thread(target=self._serve, args=(worker,), daemon=True)
            thread.start()
            self._threads.append(thread)
        schemes: Sequence[Scheme] = answers[0]
        return schemes

    def submit(self, paths: Iterable[tuple[str, int]]) -> None:
        """Start to compile files; each is a path and its length."""
        for path, size in paths:
            self._waiting.put((-size, path))

    def finish(self, paths: Sequence[tuple[str, int]]) -> Mapping[str, str]:
        """Compile what is not compiled yet; returns the byte code of each that compiles.

        Raises:
            InstallationError: A process died.
        """
        self._waiting.join()
        # Two distributions may hold one path: the later one's content is what counts.
        self.submit((path, size) for path, size in paths if not self._is_current(path))
        self._waiting.join()
        if self._failure is not None:
            raise InstallationError(
                f"What was installed could not be byte-compiled: {self._failure}",
                meaning="It works without, but starts more slowly until it is.",
            )
        found = ((path, self._compiled.get(path)) for path, _ in paths)
        return {path: done.byte_code for path, done in found if done and done.byte_code}

    def __enter__(self) -> Compiler:
        return self

    def __exit__(self, *exception: object) -> None:
        for worker in self._workers:
            worker.kill()
            worker.wait()
            for stream in (worker.stdin, worker.stdout):
                if stream:
                    with contextlib.suppress(OSError):
                        stream.close()
        for _ in self._threads:
            self._waiting.put((1, ""))  # After every file: lengths are negated.

    def _serve(self, worker: subprocess.Popen[str]) -> None:
        while True:
            _, path = self._waiting.get()
            if not path:
                return
            try:
                if self._failure is None:
                    _send(worker, path)
                    answer = json.loads(_line(worker))
                    self._compiled[path] = _Compiled(*answer) if answer else None
            except (OSError, ValueError) as error:
                self._failure = error
            finally:
                self._waiting.task_done()

    def _is_current(self, path: str) -> bool:
        done = self._compiled.get(path)
        try:
            status = os.stat(path)  # noqa: PTH116 - 10,000 times: Path would double the time
        except OSError:
            return True  # There is nothing to compile.
        return done is not None and (done.mtime_ns, done.size) == (
            status.st_mtime_ns,
            status.st_size,
        )


def installed_paths(
    sources: Iterable[Source], library: str, scheme: Scheme
) -> list[tuple[str, int]]:
    """Where pip has put the Python files of a wheel, written as pip writes it, and their lengths.

    The byte code holds the path, so its spelling counts: it is relative to the library folder.
    """
    found = []
    for source in sources:
        folder, _, rest = source.member.partition("/")
        relative = os.path.normpath(source.member)
        if folder.endswith(".data"):
            key, _, name = rest.partition("/")
            if key not in scheme:
                continue
            relative = os.path.relpath(f"{scheme[key]}/{os.path.normpath(name)}", library)
        found.append((f"{library}/{relative}", source.size))
    return found


def _start(command: Sequence[str]) -> subprocess.Popen[str]:
    try:
        return subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=clean_environment(),
            encoding="ascii",
            start_new_session=True,
        )
    except OSError as error:
        raise InstallationError(f"{command[0]} cannot be run: {error}") from None


def _send(worker: subprocess.Popen[str], path: str) -> None:
    if worker.stdin is None:
        raise ValueError("a worker without a standard input")
    print(json.dumps(path), file=worker.stdin, flush=True)


def _line(worker: subprocess.Popen[str]) -> str:
    line = worker.stdout.readline() if worker.stdout else ""
    if not line:
        raise ValueError("the interpreter ended early")
    return line
