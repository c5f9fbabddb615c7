"""Byte code of a wheel: what is kept of it, and how it becomes the files that pip would leave.

Rule: byte code is written beside the source that it was compiled from, and beside no other. The
wheel was hashed as a whole, so what it holds is what was compiled; and where no other member and
no other wheel writes a file, what pip has put there is what the wheel holds. Everywhere else the
sha256 of the installed source has to be that of the source in the wheel. Where it is not (pip
rewrites scripts; another distribution has the same file) nothing is written here.

What ``marshal`` makes of a source holds the path of the file, once. It is left out of what is kept,
and the path of the installed file is put in its place, so that the end state is pip's to the last
name. Measured over 4,100 modules: an import that has to correct the name takes 3 % more than
reading the code (15 of 430 ms, each time), rewriting it with ``marshal`` takes 150 % more (650 ms,
and a process of the target), and putting it in takes nothing beside writing the file.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from mmap import mmap
from pathlib import Path
from typing import Any

from securepip.formats.digests import Sha256
from securepip.installer.target._compile_worker import marshalled_text

_TIMESTAMP, _CHECKED_HASH = 0, 0b11  # PEP 552
_MAX_32_BITS = 0xFFFF_FFFF


@dataclass(frozen=True)
class Interpreter:
    """How a target's interpreter compiles, and where it puts byte code.

    Attributes:
        identity: What decides the code of a source, besides ``level``: implementation, version,
            build, cache tag, magic number.
        magic: What byte code starts with.
        level: The optimization level.
        suffix: How names of byte code end: ``.cpython-311.pyc``.
        prefix: The folder that byte code is put under (``PYTHONPYCACHEPREFIX``), or None.
        by_hash: Whether byte code is checked by the hash of its source (``SOURCE_DATE_EPOCH``).
        splits: Whether the name of the file can be left out of what ``marshal`` writes.
    """

    identity: tuple[str, ...]
    magic: bytes
    level: int
    suffix: str
    prefix: str | None
    by_hash: bool
    splits: bool

    @classmethod
    def parse(cls, said: Mapping[str, Any]) -> Interpreter:
        """What the worker says of it.

        Raises:
            ValueError: It is not what a worker says.
        """
        try:
            return cls(
                tuple(map(str, said["identity"])),
                bytes.fromhex(said["magic"]),
                int(said["level"]),
                str(said["suffix"]),
                None if said["prefix"] is None else str(said["prefix"]),
                bool(said["by_hash"]),
                bool(said["splits"]),
            )
        except (KeyError, TypeError) as error:
            raise ValueError(f"the interpreter does not say what it is: {error}") from None

    def byte_code_path(self, source: str) -> str:
        """Where the byte code of a source is put (``importlib.util.cache_from_source``)."""
        folder, name = os.path.split(source)
        place = f"{self.prefix}{folder}" if self.prefix else f"{folder}/__pycache__"
        return f"{place}/{name[:-3]}{self.suffix}"

    def header(self, status: os.stat_result, source_hash: bytes) -> bytes:
        """The first 16 bytes of byte code (PEP 552)."""
        if self.by_hash:
            return self.magic + _CHECKED_HASH.to_bytes(4, "little") + source_hash
        numbers = (_TIMESTAMP, int(status.st_mtime) & _MAX_32_BITS, status.st_size & _MAX_32_BITS)
        return self.magic + b"".join(number.to_bytes(4, "little") for number in numbers)


@dataclass(frozen=True)
class Code:
    """What a source compiles to.

    Attributes:
        sha256: The source's digest.
        source_hash: The source's hash as byte code has it, 8 bytes.
        kind: How the name of the file is written, see ``marshalled_text``; 0 when the source does
            not compile.
        before: What ``marshal`` writes before that name.
        after: What it writes after it.
    """

    sha256: Sha256
    source_hash: bytes = b""
    kind: int = 0
    before: bytes | memoryview = b""
    after: bytes | memoryview = b""


@dataclass(frozen=True)
class Compiled:
    """An installed source, as it was when it was compiled, and its byte code, if it compiles."""

    mtime_ns: int
    size: int
    byte_code: str | None


class WheelCode:
    """The byte code of a wheel's sources, by their names in the wheel.

    It is kept as one piece: a line of JSON with a row of each source, then all code. In memory
    that piece is there once, in pages of its own, which go back to the system with the last of its
    users: the heap keeps what it was given, which was a third of all that an install held.
    """

    def __init__(self, code: Mapping[str, Code]) -> None:
        self._code = code

    def get(self, member: str) -> Code | None:
        """The byte code of one source, if it could be kept."""
        return self._code.get(member)

    @staticmethod
    def join(parts: Sequence[tuple[Sequence[str], Sequence[Any], Path]]) -> mmap:
        """One piece of what workers have made.

        Args:
            parts: Names, rows and the file of the code, as ``compile_members`` answers them.

        Raises:
            OSError: A file cannot be read.
            ValueError: One is cut off.
        """
        rows = [
            [member, *row]
            for members, answers, _ in parts
            for member, row in zip(members, answers, strict=True)
            if row
        ]
        return in_memory(json.dumps(rows).encode() + b"\n", [path for _, _, path in parts])

    @classmethod
    def parse(cls, data: mmap, start: int = 0) -> WheelCode:
        """What was kept.

        Args:
            data: Holds it.
            start: Where it begins there.

        Raises:
            ValueError: It is damaged.
        """
        end = data.find(b"\n", start)
        code, at = memoryview(data), end + 1
        found = {}
        try:
            for member, digest, *rest in json.loads(data[start : max(start, end)]):
                if not rest:
                    found[member] = Code(digest)
                    continue
                source_hash, kind, before, after = rest
                middle, end = at + before, at + before + after
                found[member] = Code(
                    digest, bytes.fromhex(source_hash), kind, code[at:middle], code[middle:end]
                )
                at = end
        except (TypeError, RecursionError) as error:
            raise ValueError(f"not a table of byte code: {error}") from None
        if at != len(data):
            raise ValueError("byte code that is cut off")
        return cls(found)


def in_memory(first: bytes, files: Iterable[Path]) -> mmap:
    """Some bytes and what files hold, one after the other, in pages of their own.

    Raises:
        OSError: A file cannot be read.
        ValueError: There is nothing, or a file is cut off while it is read.
    """
    with ExitStack() as stack:
        streams = [stack.enter_context(path.open("rb")) for path in files]
        sizes = [os.fstat(stream.fileno()).st_size for stream in streams]
        data = mmap(-1, len(first) + sum(sizes))
        data.write(first)
        at = len(first)
        with memoryview(data) as view:
            for stream, size in zip(streams, sizes, strict=True):
                with view[at : at + size] as place:
                    if stream.readinto(place) != size:
                        raise ValueError("byte code that is cut off")
                at += size
    return data


def write_byte_code(
    path: str, code: Code, interpreter: Interpreter, size: int | None = None
) -> Compiled | None:
    """Write the byte code of an installed source, as the interpreter itself does.

    Args:
        path: The source, spelled as pip spells it: the byte code holds it.
        code: What it may have been compiled to.
        interpreter: Whose byte code it is.
        size: Of the source, in bytes, where pip alone has written it, once, out of the wheel that
            the code was compiled from; None where it has to be read to know that it is that one.

    Returns:
        None where it is the interpreter's to decide: the source is another one, or something is
        in the place of its byte code already.

    Raises:
        OSError: It cannot be read or written.
    """
    if size is None:
        with open(path, "rb", buffering=0) as stream:  # noqa: PTH123 - 10,000 times
            status = os.fstat(stream.fileno())
            source = stream.read()
        if hashlib.sha256(source).hexdigest() != code.sha256:
            return None
    else:
        status = os.stat(path)  # noqa: PTH116 - see above
        if status.st_size != size:
            return None
    if not code.kind:
        return Compiled(status.st_mtime_ns, status.st_size, None)
    target = interpreter.byte_code_path(path)
    if os.path.lexists(target):
        return None
    data = b"".join(
        [
            interpreter.header(status, code.source_hash),
            code.before,
            marshalled_text(path, code.kind),
            code.after,
        ]
    )
    # As importlib: complete under its name or not there, as open to others as the source.
    temporary = f"{target}.{id(target)}"
    mode = (status.st_mode | 0o200) & 0o666
    try:
        descriptor = os.open(temporary, os.O_EXCL | os.O_CREAT | os.O_WRONLY, mode)
    except FileNotFoundError:
        os.makedirs(os.path.dirname(target), exist_ok=True)  # noqa: PTH103, PTH120 - see above
        descriptor = os.open(temporary, os.O_EXCL | os.O_CREAT | os.O_WRONLY, mode)
    try:
        with open(descriptor, "wb") as written:  # noqa: PTH123 - a descriptor
            written.write(data)
        os.replace(temporary, target)  # noqa: PTH105 - see above
    except BaseException:
        os.unlink(temporary)  # noqa: PTH108 - see above
        raise
    return Compiled(status.st_mtime_ns, status.st_size, target)
