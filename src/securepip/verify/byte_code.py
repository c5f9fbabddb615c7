"""Compares byte code with its source by the header of the byte code.

Rule: the header only shows whether Python would use the byte code in place of that source. It does
not prove that the code was compiled from the source; only compiling again would.

Source: PEP 552.
"""

from __future__ import annotations

import _imp
import re
from pathlib import Path

from securepip.formats.digests import open_plain
from securepip.verify.record import read_bounded
from securepip.verify.types import DIFFERENT, NOT_SIGNED, Finding, Kind

_HEADER_BYTES = 16
_HASHED, _COMPARED = 0b01, 0b10
_MAX_SOURCE_BYTES = 256 << 20
_MAX_32_BITS = 0xFFFF_FFFF
_NAME = re.compile(r"(?P<module>.+?)\.[a-z]+-?[0-9][0-9a-z_.-]*?(\.opt-[0-9a-z]+)?\.pyc")
CACHE_FOLDER = "__pycache__"


def source_of(byte_code: Path) -> Path | None:
    """The source of byte code in a ``__pycache__`` folder; None for other files."""
    if byte_code.parent.name != CACHE_FOLDER:
        return None
    match = _NAME.fullmatch(byte_code.name)
    return None if match is None else byte_code.parent.parent / f"{match['module']}.py"


def wrong_with(byte_code: Path, source: Path) -> Finding | None:
    """Compare the header of byte code with the source; None if they agree.

    Args:
        byte_code: A ``.pyc`` file.
        source: The file that it should have been compiled from.
    """
    try:
        with open_plain(byte_code) as stream:
            header = stream.read(_HEADER_BYTES)
    except OSError:
        return _finding(byte_code, "cannot be read, or is not a plain file")
    if len(header) < _HEADER_BYTES:
        return _finding(byte_code, "is cut off")
    flags = int.from_bytes(header[4:8], "little")
    if flags & ~(_HASHED | _COMPARED):
        return _finding(byte_code, "has a header that no Python writes")
    try:
        with open_plain(source) as stream:
            pass
        status = source.stat()
    except OSError:
        return _finding(byte_code, f"has no source {source.name}")
    other = f"is not of the {source.name} that is there now"
    if not flags & _HASHED:
        recorded = (
            int.from_bytes(header[8:12], "little"),
            int.from_bytes(header[12:16], "little"),
        )
        actual = (int(status.st_mtime) & _MAX_32_BITS, status.st_size & _MAX_32_BITS)
        return None if recorded == actual else _finding(byte_code, other)
    data = read_bounded(source, _MAX_SOURCE_BYTES)
    if data is None:
        return _finding(byte_code, f"has a source {source.name} that cannot be read")
    # The key of the hash is the magic number of the Python that wrote the byte code.
    if _imp.source_hash(int.from_bytes(header[:4], "little"), data) == header[8:16]:
        return None
    if flags & _COMPARED:
        return _finding(byte_code, other)
    return _finding(byte_code, f"{other}, and Python would run it all the same", NOT_SIGNED)


def _finding(byte_code: Path, wrong: str, exit_code: int = DIFFERENT) -> Finding:
    return Finding(Kind.BYTE_CODE, f"{byte_code.name} {wrong}", byte_code, exit_code)
