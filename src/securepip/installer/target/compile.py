"""Writes the byte code of what pip installs: kept from before, or compiled in parallel.

Rule: the end state is that of ``pip install`` without ``--no-compile``: the same byte code, and the
same rows in RECORD. pip compiles one file after the other, after it has installed a distribution.
Here sources in wheels are compiled while pip unpacks the wheels, and once for each interpreter. If
that is not possible (pip has rewritten a script, two distributions have one file, the interpreter
marshals differently), the installed file is compiled.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from securepip.errors import InstallationError
from securepip.installer.target import _compile_worker
from securepip.installer.target.byte_code import (
    Compiled,
    Interpreter,
    WheelCode,
    write_byte_code,
)
from securepip.installer.target.byte_code_cache import ByteCodeCache
from securepip.installer.target.workers import (
    Part,
    Source,
    SourceCompiler,
    Sources,
    Worker,
    joined,
)
from securepip.interpreter.process import Pip

Scheme = Mapping[str, str]
"""The folders for the parts of a wheel: ``purelib``, ``platlib``, ``scripts``, ``data``."""

Installed = Mapping[str, str]
"""The paths of a wheel's Python files, as pip spells them, by their names in the wheel."""


@dataclass(frozen=True)
class _Waiting:
    """An installed wheel whose byte code has not been written yet.

    Attributes:
        installed: Where its sources are.
        unmixed: As for ``Compiler.submit``.
        callbacks: Called with the paths of its byte code once it is written.
    """

    installed: Installed
    unmixed: bool
    callbacks: list[Callable[[Collection[str]], None]]


class Compiler:
    """Writes the byte code of what pip installs, compiled by the target's interpreter.

    Args:
        python: The target's interpreter.
        pip: The process of pip on that interpreter.
        location: pip's options that say where to install (``user``, ``target``, ``prefix``,
            ``root``).
        folder: A private folder for the files of workers.
        cache: Keeps byte code; None to keep none.
    """

    def __init__(
        self,
        python: Path,
        pip: Pip,
        location: Mapping[str, str],
        folder: Path,
        cache: ByteCodeCache | None = None,
    ) -> None:
        self._python, self._folder, self._cache = python, folder, cache
        self._pip, self._location = pip, dict(location)
        self._target: Worker | None = None
        self._lock = threading.Lock()
        self._closed = False
        self._interpreter: Interpreter | None = None
        self._prefix: str | None = None  # of its byte code
        self._sources: SourceCompiler | None = None
        self._compiling: dict[Sources, list[Future[Part]]] = {}
        self._waiting: dict[Sources, _Waiting] = {}
        self._writing: list[Future[None]] = []
        self._compiled: dict[str, Compiled | None] = {}
        self._pool = ThreadPoolExecutor(1)  # asks, then starts, then writes
        self._asked = self._pool.submit(self._ask)

    def schemes(self) -> Sequence[Scheme]:
        """The schemes that pip may install to, the first choice first.

        Raises:
            InstallationError: The interpreter does not run.
        """
        return self._asked.result()

    def _ask(self) -> Sequence[Scheme]:
        try:
            description = json.loads(self._pip.ask(_compile_worker.__file__, self._location))
            schemes: Sequence[Scheme] = description["schemes"]
            interpreter = Interpreter.parse(description)
        except (OSError, ValueError, KeyError) as error:
            raise InstallationError(f"The target's interpreter does not run: {error}") from None
        self._prefix = interpreter.prefix
        if interpreter.splits:
            self._interpreter = interpreter
        return schemes

    def start(self, wheel: Sources) -> None:
        """Begin to compile a wheel, if its byte code is not kept. Any thread may call it."""
        self._pool.submit(self._start, wheel)

    def submit(self, wheel: Sources, installed: Installed, *, unmixed: bool = False) -> None:
        """Write the byte code of a started wheel, which is installed now, once it is compiled.

        Args:
            wheel: Its sources.
            installed: Where they are.
            unmixed: Whether no other wheel writes one of these files.
        """
        self._waiting[wheel] = _Waiting(installed, unmixed, [])

    def after(
        self, wheel: Sources, installed: Installed, done: Callable[[Collection[str]], None]
    ) -> None:
        """Call ``done`` with the paths of the byte code of a submitted wheel, once it is written.

        ``finish`` raises what ``done`` raises, and need not be given the wheel's paths.
        """
        waiting = self._waiting.get(wheel)
        if waiting is not None:
            waiting.callbacks.append(done)
        else:
            self._writing.append(self._pool.submit(self._call, done, installed))

    def look(self) -> None:
        """Begin to write the byte code of wheels that are installed and compiled by now."""
        for wheel in list(self._waiting):
            if all(part.done() for part in self._compiling.get(wheel, ())):
                self._begin_to_write(wheel)

    def finish(self, paths: Iterable[str]) -> Mapping[str, str]:
        """Compile what is left, and wait.

        Args:
            paths: Installed sources.

        Returns:
            The byte code of each of ``paths`` that compiles.

        Raises:
            InstallationError: A process has ended, or a file cannot be read or written.
        """
        paths = list(paths)
        # In the order in which they are compiled: the largest first.
        for wheel in sorted(self._waiting, key=lambda one: -one.size):
            self._begin_to_write(wheel)
        try:
            for each in self._writing:
                each.result()
            for path in paths:
                # Two distributions may write one path. What pip wrote last is compiled.
                if not self._is_current(path):
                    self._compiled[path] = self._compile_installed(path)
        except (OSError, ValueError) as error:
            raise InstallationError(
                f"What was installed could not be byte-compiled: {error}",
                meaning="It works without, but starts more slowly until it is.",
            ) from None
        if self._cache:
            self._cache.trim()
        found = ((path, self._compiled.get(path)) for path in paths)
        return {path: done.byte_code for path, done in found if done and done.byte_code}

    def __enter__(self) -> Compiler:
        return self

    def __exit__(self, *exception: object) -> None:
        with self._lock:
            self._closed, target = True, self._target
        if target:
            target.end()
        if self._sources:
            self._sources.close()
        self._pool.shutdown(cancel_futures=True)
        if target:
            target.close()

    def _start(self, wheel: Sources) -> None:
        interpreter, cache = self._interpreter, self._cache
        if interpreter is None:
            return
        with self._lock:
            if self._closed:
                return
            if self._sources is None:
                self._sources = SourceCompiler(self._python, interpreter, self._folder)
        if cache is not None and not cache.is_usable:
            cache = self._cache = None
        if cache is None or not cache.has(wheel.sha256, interpreter):
            self._compiling[wheel] = self._sources.compile(wheel)

    def _begin_to_write(self, wheel: Sources) -> None:
        waiting = self._waiting.pop(wheel, None)
        if waiting is not None:
            self._writing.append(self._pool.submit(self._write, wheel, waiting))

    def _write(self, wheel: Sources, waiting: _Waiting) -> None:
        code = self._code(wheel)
        sizes = {source.member: source.size for source in wheel.files} if waiting.unmixed else {}
        for member, path in waiting.installed.items():
            written = self._write_one(path, code, member, sizes.get(member))
            self._compiled[path] = written or self._compile_installed(path)
        for done in waiting.callbacks:
            self._call(done, waiting.installed)

    def _call(self, done: Callable[[Collection[str]], None], installed: Installed) -> None:
        found = (self._compiled[path] for path in installed.values())
        done([each.byte_code for each in found if each and each.byte_code])

    def _write_one(
        self, path: str, wheel: WheelCode | None, member: str, size: int | None
    ) -> Compiled | None:
        code = wheel.get(member) if wheel else None
        if code is None or self._interpreter is None:
            return None
        if ".data/" in member:
            size = None  # pip rewrites scripts
        try:
            return write_byte_code(path, code, self._interpreter, size)
        except OSError:
            return None  # `_compile_installed` meets the error again, as pip would

    def _code(self, wheel: Sources) -> WheelCode | None:
        """The byte code of a wheel; None if its installed files have to be compiled."""
        if self._interpreter is None or self._sources is None:
            return None
        started = self._compiling.pop(wheel, None)
        if started is None:
            kept = self._cache and self._cache.find(wheel.sha256, self._interpreter)
            if kept:
                return kept
        try:
            started = started or self._sources.compile(wheel)
            code = joined(started)
            made = WheelCode.parse(code)
        except (OSError, ValueError, CancelledError, InstallationError):
            return None
        if self._cache:
            self._cache.keep(wheel.sha256, self._interpreter, code)
        return made

    def _compile_installed(self, path: str) -> Compiled | None:
        with self._lock:
            if self._closed:
                return None
            if self._target is None:
                # Without start-up files (-S): a wheel that was just installed may have brought
                # one, and pip would not run it now. The settings are those of the process of pip.
                prefix = ["-X", f"pycache_prefix={self._prefix}"] if self._prefix else []
                self._target = Worker(str(self._python), "-S", *prefix, arguments=["installed"])
                self._target.read()
        answer = self._target.ask(path)
        return Compiled(*answer) if answer else None

    def _is_current(self, path: str) -> bool:
        done = self._compiled.get(path)
        try:
            status = os.stat(path)  # noqa: PTH116 - 10,000 times: Path would double the time
        except OSError:
            return True  # there is nothing to compile
        return done is not None and (done.mtime_ns, done.size) == (
            status.st_mtime_ns,
            status.st_size,
        )


def installed_paths(sources: Iterable[Source], library: str, scheme: Scheme) -> Installed:
    """The paths of a wheel's installed Python files, as pip spells them.

    Byte code holds the path, so the spelling matters: pip joins it to the library folder.
    """
    found = {}
    for source in sources:
        folder, _, rest = source.member.partition("/")
        relative = os.path.normpath(source.member)
        if folder.endswith(".data"):
            key, _, name = rest.partition("/")
            if key not in scheme:
                continue
            relative = os.path.relpath(f"{scheme[key]}/{os.path.normpath(name)}", library)
        found[source.member] = f"{library}/{relative}"
    return found
