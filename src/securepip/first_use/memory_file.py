"""``--memory FILE``: the digests that were seen at first use, in a text file beside a project.

The file has a line ``NAME SHA256 FIRST-SEEN`` for each distribution, sorted by name, so that
version control can merge it line by line. A new machine that reads it does not have to believe the
index again.

Rule: a file whose name is in the memory file must have that digest. A name with two digests is an
unresolved merge, and an error.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from filelock import FileLock, Timeout

from securepip.dirs import data_dir, replace_file
from securepip.errors import FormatError, SecurepipError, UsageError
from securepip.formats.digests import Sha256, parse_sha256
from securepip.formats.layout import check_filename

MAX_BYTES = 64 << 20
_HEADER = (
    "# Files that securepip saw at first use: name, sha256, day. Keep this file beside your\n"
    "# requirements. A line that is deleted is a file that is believed anew.\n"
)


@dataclass(frozen=True)
class Seen:
    """One line of the file.

    Attributes:
        filename: The name of the distribution.
        sha256: The digest that it must have.
        first_seen: The day (UTC) on which it was first seen.
    """

    filename: str
    sha256: Sha256
    first_seen: date


def read_memory(path: Path) -> dict[str, Seen]:
    """The lines of a memory file, by file name; empty if it does not exist yet.

    Raises:
        UsageError: A line is malformed, a name has two digests, or the file is too large.
        SecurepipError: The file cannot be read.
    """
    try:
        with path.open("rb") as stream:
            data = stream.read(MAX_BYTES + 1)
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise SecurepipError(f"the memory file {path} cannot be read: {error.strerror}") from None
    if len(data) > MAX_BYTES:
        raise UsageError(f"{path} is too large for a memory file")
    found: dict[str, Seen] = {}
    for number, line in enumerate(data.decode("utf-8", "replace").splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        try:
            seen = _parse(line)
        except (FormatError, ValueError):
            raise UsageError(
                f"{path}, line {number}: not a name, a sha256 and a day: {line!r:.200}"
            ) from None
        before = found.setdefault(seen.filename, seen)
        if before.sha256 != seen.sha256:
            raise UsageError(
                f"{path}, line {number}: {seen.filename} stands here with two digests",
                meaning="Two machines have seen different bytes under one name: one of them was "
                "shown a file that is not the published one.",
                remedy="Find out which digest is right, and delete the other line.",
            )
    return found


def extend_memory(path: Path, seen: Iterable[Seen], *, accepted: bool = False) -> bool:
    """Add lines to a memory file. Several processes may do that at once.

    Args:
        path: The file.
        seen: The lines. A file name that is in the file already keeps its line.
        accepted: Whether a person wants these lines to replace present ones.

    Returns:
        Whether the file has changed.

    Raises:
        UsageError, SecurepipError: As ``read_memory``; or the file cannot be written.
    """
    new = {each.filename: each for each in seen}
    if not new:
        return False
    try:
        # The lock is not beside the file: a hostile checkout could have a link of that name, and
        # old versions of the library would follow it and truncate its target.
        with FileLock(data_dir() / "memory.lock", timeout=60, mode=0o600):
            known = read_memory(path)
            merged = {**known, **new} if accepted else {**new, **known}
            if merged == known:
                return False
            lines = (
                f"{each.filename} {each.sha256} {each.first_seen.isoformat()}\n"
                for _, each in sorted(merged.items())
            )
            replace_file(path, (_HEADER + "".join(lines)).encode(), mode=0o644)
    except (OSError, Timeout) as error:
        raise SecurepipError(
            f"the memory file {path} cannot be written: {error}",
            meaning="What was seen now is remembered on this machine alone.",
        ) from None
    return True


def _parse(line: str) -> Seen:
    # Split from the right, because names of old releases have spaces.
    filename, sha256, day = line.rsplit(maxsplit=2)
    return Seen(check_filename(filename), parse_sha256(sha256), date.fromisoformat(day))
