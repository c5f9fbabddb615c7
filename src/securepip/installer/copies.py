"""Makes private copies of distributions.

Rule: the bytes that are hashed are the bytes that are used.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from securepip.errors import VerificationError
from securepip.formats.digests import CHUNK, Sha256


def copy_verified(source: Path, copy: Path, filename: str, sha256: Sha256, size: int) -> None:
    """Copy a stored file, and check that the copied bytes are those that were verified.

    The same read gives the bytes that are hashed and written, so a later change of the store does
    not matter. The copy is never a link, and never replaces a file.

    Args:
        source: The stored file.
        copy: The new file.
        filename: Its distribution file name, for messages.
        sha256: The digest that was verified.
        size: The length in bytes that was verified.

    Raises:
        VerificationError: The stored file has changed.
        OSError: It cannot be read, or the copy cannot be written.
    """
    digest, length = hashlib.sha256(), 0
    with source.open("rb") as read, copy.open("xb") as written:
        while chunk := read.read(CHUNK):
            digest.update(chunk)
            written.write(chunk)
            length += len(chunk)
    if (digest.hexdigest(), length) != (sha256, size):
        raise VerificationError(
            f"{filename} in the local store ({source}) is not what was verified a moment ago.",
            meaning="Something on this machine has changed it since. Nothing was installed.",
            remedy=f"Delete {source}, and find out what writes there.",
        )
