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
"""In place of a digest that nobody has told, and that is learned when somebody wants the file.

It is the digest of nothing: no bytes compare equal to it.
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
        if _HEX.fullmatch(text):  # as nearly all of the thousands of a page
            return Sha256(text)
        if _HEX.fullmatch(text.lower()):
            return Sha256(text.lower())
    raise FormatError(f"not a sha256 digest: {text!r:.80}")


def sha256_of(data: bytes | mmap | memoryview) -> Sha256:
    """The digest of ``data``."""
    return Sha256(hashlib.sha256(data).hexdigest())


def sha256_of_stream(stream: BinaryIO) -> tuple[Sha256, int]:
    """Digest and length (bytes) of what is left in ``stream``."""
    digest, length = hashlib.sha256(), 0
    while chunk := stream.read(CHUNK):
        digest.update(chunk)
        length += len(chunk)
    return Sha256(digest.hexdigest()), length


def open_plain(path: Path) -> BinaryIO:
    """Open a file in a folder that others may write to: a plain one, or none.

    A link would lead elsewhere, a FIFO would wait for ever, and a device may do anything.

    Raises:
        OSError: It is not there, is something else, or cannot be read.
    """
    careful = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    stream = os.fdopen(os.open(path, os.O_RDONLY | careful), "rb")
    if not stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
        stream.close()
        raise OSError(errno.EINVAL, "not a plain file", str(path))
    return stream


def other_hash_of(hashes: Mapping[str, object]) -> str | None:
    """The strongest of the hashes that pip compares, ``md5:…``, where a page tells no sha256.

    What is no digest is kept as one that no file has, since pip refuses such a file too.

    Args:
        hashes: What a page says, by the name of the algorithm.
    """
    for name in _OTHERS:
        digest = hashes.get(name)
        if isinstance(digest, str):
            digest = digest.lower()
            return f"{name}:{digest if _ANY_HEX.fullmatch(digest) else 'unreadable'}"
    return None


def hashes_of_stream(stream: BinaryIO, algorithms: Iterable[str]) -> tuple[frozenset[str], int]:
    """What is left in ``stream``: its hashes, as ``sha256:…`` for each algorithm, and its length.

    For what a user wrote beside a file; securepip itself names files by SHA-256 alone.
    """
    digests = [hashlib.new(name, usedforsecurity=False) for name in algorithms]
    length = 0
    while chunk := stream.read(CHUNK):
        length += len(chunk)
        for digest in digests:
            digest.update(chunk)
    return frozenset(f"{digest.name}:{digest.hexdigest()}" for digest in digests), length
