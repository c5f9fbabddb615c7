"""Built wheels, and the folder of the cache that keeps them.

Rule: a wheel is complete there or not there: another process may look for it at any time.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from securepip.errors import FormatError
from securepip.formats.digests import Sha256, parse_sha256, sha256_of_stream
from securepip.index.types import UserDirectory, UserFile, VerifiedFile

_SEAL = object()


Source = VerifiedFile | UserFile | UserDirectory
"""What wheels are built from."""


@dataclass(frozen=True)
class BuiltWheel:
    """A wheel that was built here.

    Attributes:
        filename: Its name.
        path: Where the cache, or the folder of the build, keeps it. Hashed again when copied.
        sha256: Its digest when it was built.
        size: Bytes.
        source: What it was built from.
        is_new: Whether it was built just now, and not taken from the cache.
    """

    filename: str
    path: Path
    sha256: Sha256
    size: int
    source: Source
    is_new: bool = field(compare=False, default=True)
    seal: object = field(repr=False, compare=False, default=None)

    def __post_init__(self) -> None:
        if self.seal is not _SEAL:
            raise TypeError("only a build makes a BuiltWheel")


def read_answer(path: Path) -> list[str] | None:
    """What a backend asked for before, if that is known."""
    try:
        answer = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return answer if isinstance(answer, list) else None


def from_cache(place: Path, source: Source) -> BuiltWheel | None:
    """The wheel in a folder of the cache, when it still has the digest it was stored with."""
    try:
        (path,) = place.glob("*.whl")
        expected = parse_sha256((place / "sha256").read_text(encoding="ascii"))
        with path.open("rb") as stream:
            sha256, size = sha256_of_stream(stream)
    except (OSError, ValueError, FormatError):
        return None
    if sha256 != expected:
        return None
    return BuiltWheel(path.name, path, sha256, size, source, is_new=False, seal=_SEAL)


def keep(wheel: Path, place: Path | None, source: Source) -> BuiltWheel:
    """Put a new wheel into the cache, or leave it where it was built."""
    with wheel.open("rb") as stream:
        sha256, size = sha256_of_stream(stream)
    path = wheel if place is None else _to_cache(wheel, place, sha256)
    return BuiltWheel(wheel.name, path, sha256, size, source, seal=_SEAL)


def _to_cache(wheel: Path, place: Path, sha256: Sha256) -> Path:
    place.parent.mkdir(parents=True, exist_ok=True)
    # Complete or not there: another process may look for it, or this one may be killed.
    prepared = Path(tempfile.mkdtemp(dir=place.parent, prefix="new-"))
    shutil.copyfile(wheel, prepared / wheel.name)
    (prepared / "sha256").write_text(sha256, encoding="ascii")
    try:
        prepared.replace(place)
    except OSError:
        # It holds one already: a damaged one, or the one that another process has just made.
        shutil.rmtree(place, ignore_errors=True)
        prepared.replace(place)
    return place / wheel.name
