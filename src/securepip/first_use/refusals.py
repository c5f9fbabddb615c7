"""The errors of first use: an index shows something else than before.

Rule: each refusal says what was seen and when, what the index shows now, and which command accepts
the change.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta

from packaging.utils import NormalizedName

from securepip.errors import QuarantinedError, SecurepipError, VerificationError
from securepip.first_use.witness import Contradiction
from securepip.formats.digests import Sha256
from securepip.formats.words import counted

_NOTHING = "Nothing was installed."


def changed_file(
    filename: str, first_seen: date, before: Sha256, now: Sha256, index: str
) -> VerificationError:
    """Make the error for a file that has other bytes than before."""
    seen = f"sha256 seen first, on {first_seen.isoformat()}:"
    return VerificationError(
        f"{filename} is not the file that was seen first: {index} shows other bytes now",
        meaning=f"{seen} {before}\n"
        f"{'sha256 shown now:':{len(seen)}} {now}\n"
        "Published files never change. Either somebody changed the file on its way or at the "
        "index, or the project replaced a release.",
        remedy=f"{_NOTHING} Ask the project. If you know that the change is right:\n"
        f"  securepip trust accept-change {filename}",
    )


def other_hash(filename: str, told: str, found: str, url: str) -> VerificationError:
    """Make the error for a file without a known sha256 that lacks the hash its index gives."""
    return VerificationError(
        f"{filename}, from {url}, is not what its index says: {found}, the index says {told}",
        meaning="The file was changed or broken on its way, or where it is kept.",
        remedy=f"{_NOTHING} Try again; if that does not help, ask those who run the index.",
    )


def lost_files(project: NormalizedName, what: str, index: str) -> VerificationError:
    """Make the error for a page that has lost most of its files, or all."""
    return VerificationError(
        f"{index} does not show {project} as this machine saw it: {what}",
        meaning="Projects hardly ever take back most of their releases. Somebody may want an "
        "old or another release to be installed.",
        remedy=f"{_NOTHING} Ask the project. If you know that it is right:\n"
        f"  securepip trust accept-change {project}",
    )


def contradiction(project: NormalizedName, files: Sequence[Contradiction]) -> VerificationError:
    """Make the error for new files for which the index and a witness show different bytes."""
    first = files[0]
    more = f" ({len(files)} files of {project} differ)" if len(files) > 1 else ""
    return VerificationError(
        f"{first.filename} is not the same everywhere{more}",
        meaning=f"sha256 that the index shows: {first.offered}\n"
        f"sha256 that {first.witness} shows: {first.witnessed}\n"
        "One of the two serves a file that the project did not publish.",
        remedy=f"{_NOTHING} If you know that the index is right:\n"
        f"  securepip trust accept-change {first.filename}",
    )


def quarantined(project: NormalizedName, reason: str | None, index: str) -> QuarantinedError:
    """Make the error for a project that its index holds in quarantine (PEP 792)."""
    why = f": {reason}" if reason else ""
    return QuarantinedError(
        f"{index} holds {project} in quarantine{why}",
        meaning="The people who run the index think that it may do harm.",
        remedy=f"{_NOTHING} Wait until they have looked at it.",
    )


def nothing_to_sign(project: NormalizedName, reasons: Sequence[str], index: str) -> SecurepipError:
    """Make the error for a project of which no file can be signed."""
    return SecurepipError(
        f"{index} shows no file of {project} that this machine can sign: {'; '.join(reasons)}",
        remedy=_NOTHING,
    )


def no_length(filename: str, index: str) -> SecurepipError:
    """Make the error for a chosen file of unknown length."""
    return SecurepipError(
        f"neither {index} nor the server of the file says how long {filename} is",
        meaning="A file whose length is unknown cannot be signed.",
        remedy=f"{_NOTHING} Ask those who run the index.",
    )


def too_young(project: NormalizedName, count: int, newest: str, min_age: timedelta) -> str:
    """The notice that ``--min-age`` has left files out."""
    files = counted(count, "file is", "files are")
    age = age_in_words(min_age)
    return f"{project}: {files} younger than {age} and left out, the newest {newest}"


def age_in_words(age: timedelta) -> str:
    """``3 days``; or ``36 hours``, if it is no whole number of days."""
    hours = int(age / timedelta(hours=1))
    number, unit = (hours // 24, "day") if hours % 24 == 0 else (hours, "hour")
    return counted(number, unit)
