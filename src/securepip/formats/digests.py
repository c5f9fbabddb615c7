"""SHA-256 digests as a type, and bounded hashing of files."""

from __future__ import annotations

import errno
import hashlib
import os
import re
import stat
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, NewType

from securepip.errors import FormatError

if TYPE_CHECKING:
    from mmap import mmap

Sha256 = NewType("Sha256", str)
"""A SHA-256 digest: 64 lower-case hexadecimal digits."""

NOT_KNOWN_YET = Sha256("")
"""Stands for the digest of a file whose index gives none, until somebody wants the file.

No file has this digest: it is not 64 digits long.
"""

_HEX = re.compile(r"[0-9a-f]{64}")
_OTHERS = ("sha512", "sha384", "sha224", "sha1", "md5")
_ANY_HEX = re.compile(r"[0-9a-f]{32,128}")
CHUNK = 1 << 18
"""Bytes read at a time from files and sockets."""


def parse_sha256(text: object) -> Sha256:
    """The digest that ``text`` spells.

    Raises:
        FormatError: ``text`` is not 64 hexadecimal digits.
    """
    if isinstance(text, str):
        if _HEX.fullmatch(text):  # the usual case, for pages with thousands of digests
            return Sha256(text)
        if _HEX.fullmatch(text.lower()):
            return Sha256(text.lower())
    raise FormatError(f"not a sha256 digest: {text!r:.80}")


def sha256_of(data: bytes | mmap | memoryview) -> Sha256:
    """The digest of ``data``."""
    return Sha256(hashlib.sha256(data).hexdigest())


def sha256_of_stream(stream: BinaryIO) -> tuple[Sha256, int]:
    """The digest and the length (bytes) of the rest of ``stream``."""
    digest, length = hashlib.sha256(), 0
    while chunk := stream.read(CHUNK):
        digest.update(chunk)
        length += len(chunk)
    return Sha256(digest.hexdigest()), length


def open_plain(path: Path) -> BinaryIO:
    """Open a regular file in a folder that others may write to, and nothing else.

    Another user could put a symbolic link there that leads elsewhere, a FIFO that blocks forever,
    or a device.

    Raises:
        OSError: It does not exist, is not a regular file, or cannot be read.
    """
    careful = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    stream = os.fdopen(os.open(path, os.O_RDONLY | careful), "rb")
    if not stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
        stream.close()
        raise OSError(errno.EINVAL, "not a plain file", str(path))
    return stream


def other_hash_of(hashes: Mapping[str, object]) -> str | None:
    """The strongest hash that pip would compare, of a file for which a page gives no sha256.

    A value that is not a digest becomes one that no file has, because pip refuses such a file.

    Args:
        hashes: The hashes on the page, by algorithm.

    Returns:
        For example ``md5:…``; None if the page gives no hash that pip knows.
    """
    for name in _OTHERS:
        digest = hashes.get(name)
        if isinstance(digest, str):
            digest = digest.lower()
            return f"{name}:{digest if _ANY_HEX.fullmatch(digest) else 'unreadable'}"
    return None


def hashes_of_stream(stream: BinaryIO, algorithms: Iterable[str]) -> tuple[frozenset[str], int]:
    """The hashes (``sha256:…``, one for each algorithm) and the length (bytes) of a stream's rest.

    It is for hashes that a user gives; securepip itself uses SHA-256 only.
    """
    digests = [hashlib.new(name, usedforsecurity=False) for name in algorithms]
    length = 0
    while chunk := stream.read(CHUNK):
        length += len(chunk)
        for digest in digests:
            digest.update(chunk)
    return frozenset(f"{digest.name}:{digest.hexdigest()}" for digest in digests), length
