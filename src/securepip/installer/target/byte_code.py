"""Byte code of a wheel: the form in which it is kept, and the files that are written from it.

Rule: byte code is written only beside the source that it was compiled from. The wheel was hashed as
a whole, so the compiled sources are the wheel's. If no other member and no other wheel writes a
file, the installed file is the wheel's too. For any other file the sha256 of the installed source
must be that of the source in the wheel. If it is not (pip rewrites scripts; two distributions have
one file), nothing is written here.

Marshalled code holds the path of its file, once. The path is left out of what is kept, and the path
of the installed file is put in its place, so that the files are the same as pip's. Measured over
4,100 modules: an import that has to correct the path takes 3 % more than reading the code (15 of
430 ms, each time), rewriting the code with ``marshal`` takes 150 % more (650 ms, and a process of
the target), and inserting the path takes no measurable time beside writing the file.
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
        magic: The first bytes of byte code files.
        level: The optimization level.
        suffix: The end of byte code file names: ``.cpython-311.pyc``.
        prefix: The folder for all byte code (``PYTHONPYCACHEPREFIX``); None if there is none.
        by_hash: Whether byte code is checked by the hash of its source (``SOURCE_DATE_EPOCH``).
        splits: Whether the path can be left out of marshalled code (``can_split``).
    """

    identity: tuple[str, ...]
    magic: bytes
    level: int
    suffix: str
    prefix: str | None
    by_hash: bool
    splits: bool

    @classmethod
    def parse(cls, description: Mapping[str, Any]) -> Interpreter:
        """Parse a worker's description of its interpreter.

        Raises:
            ValueError: It is not one.
        """
        try:
            return cls(
                tuple(map(str, description["identity"])),
                bytes.fromhex(description["magic"]),
                int(description["level"]),
                str(description["suffix"]),
                None if description["prefix"] is None else str(description["prefix"]),
                bool(description["by_hash"]),
                bool(description["splits"]),
            )
        except (KeyError, TypeError) as error:
            raise ValueError(f"the interpreter does not say what it is: {error}") from None

    def byte_code_path(self, source: str) -> str:
        """The path of a source's byte code, as ``importlib.util.cache_from_source``."""
        folder, name = os.path.split(source)
        place = f"{self.prefix}{folder}" if self.prefix else f"{folder}/__pycache__"
        return f"{place}/{name[:-3]}{self.suffix}"

    def header(self, status: os.stat_result, source_hash: bytes) -> bytes:
        """The first 16 bytes of a byte code file (PEP 552)."""
        if self.by_hash:
            return self.magic + _CHECKED_HASH.to_bytes(4, "little") + source_hash
        numbers = (_TIMESTAMP, int(status.st_mtime) & _MAX_32_BITS, status.st_size & _MAX_32_BITS)
        return self.magic + b"".join(number.to_bytes(4, "little") for number in numbers)


@dataclass(frozen=True)
class Code:
    """The byte code of a source, without the path of its file.

    Attributes:
        sha256: The source's digest.
        source_hash: The source's hash as byte code files have it, 8 bytes.
        kind: How the path is written, see ``marshalled_text``; 0 if the source does not compile.
        before: The marshalled bytes before the path.
        after: The marshalled bytes after it.
    """

    sha256: Sha256
    source_hash: bytes = b""
    kind: int = 0
    before: bytes | memoryview = b""
    after: bytes | memoryview = b""


@dataclass(frozen=True)
class Compiled:
    """An installed source as it was when it was compiled.

    Attributes:
        mtime_ns: Its time of modification.
        size: Its length in bytes.
        byte_code: The path of its byte code; None if it does not compile.
    """

    mtime_ns: int
    size: int
    byte_code: str | None


class WheelCode:
    """The byte code of a wheel's sources, by their names in the wheel.

    It is kept as a line of JSON, with a row for each source, and then all code. In memory it is in
    an anonymous ``mmap``, which is given back to the system after use. The heap would keep the
    memory: that was a third of all memory of an install.
    """

    def __init__(self, code: Mapping[str, Code]) -> None:
        self._code = code

    def get(self, member: str) -> Code | None:
        """The byte code of one source; None if it could not be kept."""
        return self._code.get(member)

    @staticmethod
    def join(parts: Sequence[tuple[Sequence[str], Sequence[Any], Path]]) -> mmap:
        """Join what workers have made into the form that ``parse`` reads.

        Args:
            parts: Names of members, their rows, and the file of their code (``compile_members``).

        Raises:
            OSError: A file cannot be read.
            ValueError: A file is cut off.
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
        """Parse what ``join`` has made.

        Args:
            data: Holds it.
            start: Where it begins in ``data``.

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
    """Some bytes, followed by the contents of files, in an anonymous ``mmap``.

    Raises:
        OSError: A file cannot be read.
        ValueError: All are empty, or a file is cut off while it is read.
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
    """Write the byte code of an installed source, as the interpreter itself would.

    Args:
        path: The source, as pip spells it. The byte code holds this path.
        code: The byte code of the source in the wheel.
        interpreter: The target's interpreter.
        size: The length of the source in bytes, if it is certain that pip has written it from the
            wheel. None means that the source is read and its digest compared.

    Returns:
        None if the interpreter has to compile it: the source is another one, or there is a byte
        code file already.

    Raises:
        OSError: A file cannot be read or written.
    """
    if size is None:
        # Not pathlib, in this function: it runs 10,000 times in a large installation.
        with open(path, "rb", buffering=0) as stream:  # noqa: PTH123
            status = os.fstat(stream.fileno())
            source = stream.read()
        if hashlib.sha256(source).hexdigest() != code.sha256:
            return None
    else:
        status = os.stat(path)  # noqa: PTH116
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
    # As in importlib: the file appears in one step, with the source's mode.
    temporary = f"{target}.{id(target)}"
    mode = (status.st_mode | 0o200) & 0o666
    try:
        descriptor = os.open(temporary, os.O_EXCL | os.O_CREAT | os.O_WRONLY, mode)
    except FileNotFoundError:
        os.makedirs(os.path.dirname(target), exist_ok=True)  # noqa: PTH103, PTH120
        descriptor = os.open(temporary, os.O_EXCL | os.O_CREAT | os.O_WRONLY, mode)
    try:
        with open(descriptor, "wb") as written:  # noqa: PTH123
            written.write(data)
        os.replace(temporary, target)  # noqa: PTH105
    except BaseException:
        os.unlink(temporary)  # noqa: PTH108
        raise
    return Compiled(status.st_mtime_ns, status.st_size, target)
