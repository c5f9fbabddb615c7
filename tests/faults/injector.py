"""Counts the calls that touch files below some folders; one of them fails or kills the process.

Rule: a call is identified by its kind and its number among those of this kind, so that it is the
same call in the next run. Only calls that Python does not repeat after a signal can fail with EINTR
(PEP 475): not ``open``, ``read``, ``write``, ``fsync`` and ``flock``.
"""

from __future__ import annotations

import builtins
import errno
import fcntl
import io
import os
import pathlib
import sqlite3
import sys
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

KILLED = 99
"""The exit code of a process that a fault kills."""

KILL = "kill"

ERRORS = {
    "open": ("EIO", "EACCES"),
    "read": ("EIO",),
    "look": ("EIO", "EACCES"),
    "list": ("EIO", "EACCES"),
    "create": ("ENOSPC", "EACCES", KILL),
    "write": ("ENOSPC", "EIO", KILL),
    "name": ("ENOSPC", "EIO", "EACCES", "EINTR", KILL),
    "remove": ("EIO", "EACCES", "EINTR", KILL),
    "folder": ("ENOSPC", "EACCES", KILL),
    "mode": ("EPERM", "EIO", KILL),
    "flush": ("ENOSPC", "EIO", KILL),
    "lock": ("EIO", "ENOLCK", "EINTR", KILL),
    "sql": ("database or disk is full", "disk I/O error", "database is locked", KILL),
}
"""The errors of each kind of call. No process is killed at a call that changes nothing."""

_KINDS = {
    "rename": "name",
    "replace": "name",
    "link": "name",
    "symlink": "name",
    "unlink": "remove",
    "remove": "remove",
    "rmdir": "remove",
    "mkdir": "folder",
    "chmod": "mode",
    "utime": "mode",
    "fsync": "flush",
    "fdatasync": "flush",
    "scandir": "list",
    "listdir": "list",
    "stat": "look",
    "lstat": "look",
    "readlink": "look",
    "read": "read",
    "write": "write",
    "truncate": "write",
    "ftruncate": "write",
    "sendfile": "write",
}


@dataclass(frozen=True)
class Fault:
    """A call, and its error.

    Attributes:
        kind: A key of ``ERRORS``.
        number: The number of calls of that kind before it.
        error: One of the errors of that kind.
    """

    kind: str
    number: int
    error: str

    def __str__(self) -> str:
        return f"{self.kind} {self.number} {self.error}"


@dataclass(frozen=True)
class Call:
    """A counted call.

    Attributes:
        kind: Of ``ERRORS``.
        path: The file.
        place: The caller, as ``module:line``.
    """

    kind: str
    path: str
    place: str

    def __str__(self) -> str:
        return f"{self.kind} {self.path} by {self.place}"


class Injector:
    """Counts calls, and lets one of them fail, for the rest of this process.

    Args:
        folders: The folders of the state.
        but: Paths in them that are not state.
        fault: The call that fails; None to count only.
        stopped: Called before the process dies.
    """

    def __init__(
        self,
        folders: Sequence[Path],
        but: Sequence[Path] = (),
        fault: Fault | None = None,
        stopped: Callable[[], None] = lambda: None,
    ) -> None:
        self.calls: list[Call] = []
        self.hit: Call | None = None
        self._folders, self._but = _texts(folders), _texts(but)
        self._fault, self._stopped = fault, stopped
        self._counts: Counter[str] = Counter()
        self._counting = threading.Lock()
        self._readlink = os.readlink
        self._active = False

    def install(self) -> None:
        """Replace the functions that make the calls."""
        opening, flock, connect = _Opening(self), fcntl.flock, sqlite3.connect
        self._replace(os, "open", self._os_open(os.open))
        for name, kind in _KINDS.items():
            self._replace(os, name, self._counted(getattr(os, name), kind))
        io.open = opening.open
        self._replace(builtins, "open", opening.open)

        def lock(stream: Any, operation: int) -> None:
            descriptor = stream if isinstance(stream, int) else stream.fileno()
            if not operation & fcntl.LOCK_UN:
                self.check("lock", descriptor)
            flock(stream, operation)

        fcntl.flock = lock

        def open_database(database: Any, *args: Any, **kwargs: Any) -> Any:
            self.check("sql", database)
            base = kwargs.get("factory", sqlite3.Connection)
            kwargs["factory"] = _connection(self, database, base)
            return connect(database, *args, **kwargs)

        sqlite3.connect = open_database
        self._active = True

    def stop(self) -> None:
        """Stop counting, and let no call fail."""
        self._active = False

    def check(self, kind: str, path: Any, torn: Callable[[], object] | None = None) -> None:
        """Count a call, which may be the one that fails.

        Args:
            kind: Of ``ERRORS``.
            path: A file, or its descriptor.
            torn: Does half of the call, as a process that is killed in the middle.
        """
        if not self._active:
            return
        text = self._text(path)
        if not text.startswith(self._folders) or (self._but and text.startswith(self._but)):
            return
        with self._counting:
            number = self._counts[kind]
            self._counts[kind] += 1
            call = Call(kind, text, _caller())
            self.calls.append(call)
        fault = self._fault
        if fault is None or (kind, number) != (fault.kind, fault.number):
            return
        self.hit = call
        if fault.error == KILL:
            if torn is not None:
                torn()
            self._stopped()
            os._exit(KILLED)
        if kind == "sql":
            raise sqlite3.OperationalError(fault.error)
        code = getattr(errno, fault.error)
        # As the system says it: who has only a descriptor is not told the name.
        raise OSError(code, os.strerror(code), *([] if isinstance(path, int) else [text]))

    def _text(self, path: Any) -> str:
        if isinstance(path, int):
            try:
                return self._readlink(f"/proc/self/fd/{path}")
            except OSError:
                return ""
        return os.path.abspath(os.fsdecode(path))  # noqa: PTH100 - it may be bytes

    def _replace(self, owner: Any, name: str, function: Callable[..., Any]) -> None:
        setattr(owner, name, function)
        accessor = getattr(pathlib, "_normal_accessor", None)  # of Python 3.10
        if hasattr(accessor, name):
            setattr(accessor, name, function)

    def _counted(self, function: Callable[..., Any], kind: str) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            path = args[0] if args else kwargs.get("path", ".")
            if kind == "name":  # the folder that changes is the one of the new name
                path = args[1]
            if path is None:
                path = "."
            folder = kwargs.get("dir_fd")
            if folder is not None and not isinstance(path, int):
                path = Path(self._text(folder), path)
            self.check(kind, path)
            return function(*args, **kwargs)

        return call

    def _os_open(self, function: Callable[..., int]) -> Callable[..., int]:
        def call(path: Any, flags: int, *args: Any, **kwargs: Any) -> int:
            folder = kwargs.get("dir_fd")
            whole = path if folder is None else Path(self._text(folder), path)
            self.check("create" if flags & os.O_CREAT else "open", whole)
            return function(path, flags, *args, **kwargs)

        return call


class _Opening:
    """``open`` with a raw stream that counts, below Python's buffers."""

    def __init__(self, injector: Injector) -> None:
        self._open = io.open
        self._injector = injector

        class Raw(io.FileIO):
            def readinto(self, buffer: Any) -> int | None:
                injector.check("read", self.fileno())
                return super().readinto(buffer)

            def read(self, size: int | None = -1) -> bytes | None:  # type: ignore[override] # typeshed: never None
                injector.check("read", self.fileno())
                return super().read(-1 if size is None else size)

            def readall(self) -> bytes | None:  # type: ignore[override] # typeshed: never None
                injector.check("read", self.fileno())
                return super().readall()

            def write(self, data: Any) -> int | None:  # type: ignore[override] # typeshed: never None
                whole = memoryview(data).cast("B")
                injector.check(
                    "write", self.fileno(), lambda: super(Raw, self).write(whole[: len(whole) // 2])
                )
                return super().write(data)

            def truncate(self, size: int | None = None) -> int:
                injector.check("write", self.fileno())
                return super().truncate(size)

        self._raw = Raw

    def open(
        self,
        file: Any,
        mode: str = "r",
        buffering: int = -1,
        encoding: str | None = None,
        errors: str | None = None,
        newline: str | None = None,
        closefd: bool = True,
        opener: Any = None,
    ) -> Any:
        """As ``open``; see ``_pyio``, from which the order of the layers is."""
        text = self._injector._text(file)
        if not text.startswith(self._injector._folders):
            return self._open(file, mode, buffering, encoding, errors, newline, closefd, opener)
        raw_mode = mode.replace("b", "").replace("t", "").replace("U", "")
        if opener is None and not isinstance(file, int):
            self._injector.check("open" if raw_mode == "r" else "create", file)
        raw = self._raw(file, raw_mode, closefd, opener)
        try:
            if buffering == 0:
                return raw
            size = io.DEFAULT_BUFFER_SIZE if buffering in (-1, 1) else buffering
            buffer: Any
            if "+" in raw_mode:
                buffer = io.BufferedRandom(raw, size)
            elif raw_mode == "r":
                buffer = io.BufferedReader(raw, size)
            else:
                buffer = io.BufferedWriter(raw, size)
            if "b" in mode:
                return buffer
            wrapped = io.TextIOWrapper(buffer, encoding, errors, newline, buffering == 1)
            wrapped.mode = mode  # type: ignore[misc] # as `open` sets it
        except BaseException:
            raw.close()
            raise
        return wrapped


def _connection(
    injector: Injector, database: Any, base: type[sqlite3.Connection]
) -> type[sqlite3.Connection]:
    class Connection(base):  # type: ignore[misc, valid-type] # a class of the caller's
        def execute(self, *args: Any) -> Any:
            injector.check("sql", database)
            return super().execute(*args)

        def executemany(self, *args: Any) -> Any:
            injector.check("sql", database)
            return super().executemany(*args)

        def executescript(self, *args: Any) -> Any:
            injector.check("sql", database)
            return super().executescript(*args)

        def __exit__(self, *error: Any) -> Any:
            if error[0] is None:
                try:
                    injector.check("sql", database)
                except sqlite3.Error:
                    self.rollback()
                    raise
            return super().__exit__(*error)

    return Connection


def _texts(folders: Sequence[Path]) -> tuple[str, ...]:
    return tuple(str(folder) for folder in folders)


def _caller() -> str:
    """The innermost caller in securepip."""
    frame = sys._getframe(2)
    while frame.f_back is not None:
        path = Path(frame.f_code.co_filename)
        if "securepip" in path.parts:
            return f"{path.stem}:{frame.f_lineno}"
        frame = frame.f_back
    return "?"
