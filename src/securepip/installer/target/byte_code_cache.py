"""The folder of the cache that keeps byte code of wheels.

Rule: byte code is run, and no signature covers it. It is used only with the mark that a run of this
user made for it (``dirs.Seal``), over the digest of the verified wheel, everything about the
interpreter that decides what is compiled, and every byte of the byte code.

One file holds the byte code of a whole wheel. The wheel's digest is known before pip unpacks it,
and one mark and one read cover some hundred sources. Whether an installed source is the one that
was compiled is still decided for each source (``byte_code``).

A file appears in one step, and a damaged file counts as missing. So any number of processes may
read, write and remove files at once. Files that were unused for the longest time are removed first.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from contextlib import suppress
from functools import cached_property
from mmap import mmap
from pathlib import Path

from securepip.dirs import Seal, check_private, own_seal, private_folder, replace_file
from securepip.errors import SecurepipError
from securepip.formats.digests import Sha256, sha256_of
from securepip.installer.target.byte_code import Interpreter, WheelCode, in_memory

_LIMIT_BYTES = 1 << 30
"""About 1,000 wheels of the usual size."""

_log = logging.getLogger(__name__)


class ByteCodeCache:
    """Byte code by wheel and interpreter.

    Args:
        folder: ``<cache>/byte-code``; made on first use.
        seal: Returns the user's seal; called on first use. Without a seal nothing is kept.
        limit: The most bytes that are kept.
    """

    def __init__(
        self,
        folder: Path,
        seal: Callable[[], Seal | None] = own_seal,
        limit: int = _LIMIT_BYTES,
    ) -> None:
        self._folder = folder
        self._own_seal = seal
        self._limit = limit
        self._has_grown = self._is_full = False

    @cached_property
    def is_usable(self) -> bool:
        """Whether the folder could be made, is the user's alone, and the user has a seal."""
        try:
            private_folder(self._folder)
        except SecurepipError as error:
            self._say(str(error))
            return False
        return self._seal is not None

    def has(self, wheel: Sha256, interpreter: Interpreter) -> bool:
        """Whether there is a file for ``find``, which may refuse it."""
        return self._path(wheel, interpreter).is_file()

    def find(self, wheel: Sha256, interpreter: Interpreter) -> WheelCode | None:
        """The byte code that an interpreter like this one made of a wheel; None if there is none.

        Args:
            wheel: The digest of the verified wheel.
            interpreter: The target's interpreter.
        """
        path = self._path(wheel, interpreter)
        try:
            check_private(path)
            data = in_memory(b"", [path])
            start = data.find(b"\n") + 1
            with memoryview(data)[start:] as kept:
                facts = _facts(wheel, interpreter, kept)
            mark = data[: max(start - 1, 0)].decode("ascii")
            if self._seal is None or not self._seal.proves(mark, *facts):
                return None
            code = WheelCode.parse(data, start)
        except (OSError, ValueError, SecurepipError):
            return None
        with suppress(OSError):
            os.utime(path)  # `trim` removes what was not used
        return code

    def keep(self, wheel: Sha256, interpreter: Interpreter, code: bytes | mmap) -> None:
        """Keep the byte code of a wheel (``WheelCode.join``). If that fails, only warn."""
        if self._seal is None or self._is_full:
            return
        mark = self._seal.mark(*_facts(wheel, interpreter, code))
        try:
            # A power cut may leave a damaged file, which is noticed by its mark.
            path = self._path(wheel, interpreter)
            replace_file(path, mark.encode() + b"\n", code, durable=False)
            self._has_grown = True
        except OSError as error:
            self._say(f"{self._folder} cannot be written: {error}")
            self._is_full = True

    def trim(self) -> None:
        """Remove the files that were not used for the longest time, down to the limit."""
        if not self._has_grown:
            return
        found = []
        # What was installed is complete by now: a cache that cannot be trimmed is no error.
        with suppress(OSError):
            for path in self._folder.iterdir():
                with suppress(FileNotFoundError):  # another process has removed it
                    status = path.stat()
                    found.append((status.st_mtime_ns, status.st_size, path))
            size = sum(each for _, each, _ in found)
            for _, each, path in sorted(found):
                if size <= self._limit:
                    return
                path.unlink(missing_ok=True)
                size -= each

    @cached_property
    def _seal(self) -> Seal | None:
        return self._own_seal()

    def _path(self, wheel: Sha256, interpreter: Interpreter) -> Path:
        return self._folder / sha256_of("\0".join(_key(wheel, interpreter)).encode())

    def _say(self, reason: str) -> None:
        _log.warning("%s\nByte code is not kept for the next time.", reason)


def _key(wheel: Sha256, interpreter: Interpreter) -> tuple[str, ...]:
    return (wheel, str(interpreter.level), *interpreter.identity)


def _facts(
    wheel: Sha256, interpreter: Interpreter, code: bytes | mmap | memoryview
) -> tuple[str, ...]:
    return ("byte code", sha256_of(code), *_key(wheel, interpreter))
