"""A record of the last run, so that ``explain`` can repeat an error whose output is gone.

Rule: the record holds no secret and no more than a screen of text. It is replaced in one step, and
a record that cannot be written makes no command fail.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

from securepip.dirs import data_dir, replace_file
from securepip.errors import SecurepipError

_NAME = "last-run.json"
_MAX_TEXT = 4_000
_MAX_WORDS = 50
_MAX_RECORD_BYTES = 256 << 10
_FLAGS = frozenset(
    {"-U", "-q", "-v", "--upgrade", "--pre", "--no-deps", "--dry-run", "--quiet", "--verbose"}
    | {"--user", "--no-cache-dir", "--force-reinstall", "--no-input"}
)
"""Options without a value: the word after one of these may be a requirement."""
_REQUIREMENT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*(\[[A-Za-z0-9._,-]*\])?([=<>!~]=?[^\s@:]*)?")
_KEPT_COMMANDS = frozenset({"install", "download", "lock", "gateway"})


@dataclass(frozen=True)
class LastRun:
    """A run that has ended.

    Attributes:
        command: ``install``, ``download``, ``lock`` or ``gateway``.
        asked: The requirements on its command line; nothing else of the command line is kept.
        ended: When it ended (UTC).
        exit_code: Its exit code; 3 if verification failed.
        kind: The type of its error, such as ``VerificationError``; "" if there was none.
        what: What happened.
        meaning: What that may mean.
        remedy: What to do next.
    """

    command: str
    asked: tuple[str, ...]
    ended: datetime
    exit_code: int
    kind: str = ""
    what: str = ""
    meaning: str = ""
    remedy: str = ""


def record(words: Sequence[str], exit_code: int, error: SecurepipError | None = None) -> None:
    """Write the record of a run; do nothing if it cannot be written.

    Args:
        words: The command line.
        exit_code: The exit code.
        error: Why the run failed; None if it did not.
    """
    command = next((word for word in words if word in _KEPT_COMMANDS), None)
    if command is None:
        return
    document = {
        "version": 1,
        "command": command,
        "asked": _requirements(words[list(words).index(command) + 1 :]),
        "ended": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "exit_code": exit_code,
        "kind": type(error).__name__ if error is not None else "",
        "what": error.what[:_MAX_TEXT] if error is not None else "",
        "meaning": error.meaning[:_MAX_TEXT] if error is not None else "",
        "remedy": error.remedy[:_MAX_TEXT] if error is not None else "",
    }
    with suppress(OSError, SecurepipError, ValueError):
        replace_file(data_dir() / _NAME, json.dumps(document, indent=1).encode(), durable=False)


def read_last_run() -> LastRun | None:
    """The record of the last run; None if there is none, or none that can be read.

    Raises:
        SecurepipError: The data folder is not the user's alone.
    """
    path: Path = data_dir() / _NAME
    try:
        with path.open("rb") as stream:
            document = json.loads(stream.read(_MAX_RECORD_BYTES))
        return LastRun(
            str(document["command"]),
            tuple(map(str, document["asked"])),
            datetime.fromisoformat(document["ended"]),
            int(document["exit_code"]),
            *(str(document[key]) for key in ("kind", "what", "meaning", "remedy")),
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _requirements(words: Sequence[str]) -> list[str]:
    """The words that are requirements. An option's value may be a secret, so none is kept."""
    kept = []
    before = ""
    for word in words:
        if word == "--":
            break
        is_value = before.startswith("-") and "=" not in before and before not in _FLAGS
        if _REQUIREMENT.fullmatch(word) and not is_value:
            kept.append(word[:200])
        before = word
    return kept[:_MAX_WORDS]
