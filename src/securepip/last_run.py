"""What the last run was, so that a refusal can be explained when its output is gone.

Rule: the record holds no secret and no more than a screen of text. It is written whole or not at
all, and where it cannot be written nothing fails.
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
from securepip.redaction import redact_text

_NAME = "last-run.json"
_MAX_TEXT = 4_000
_MAX_WORDS = 50
_MAX_RECORD_BYTES = 256 << 10
_FLAGS = frozenset(
    {"-U", "-q", "-v", "--upgrade", "--pre", "--no-deps", "--dry-run", "--quiet", "--verbose"}
    | {"--user", "--no-cache-dir", "--force-reinstall", "--no-input"}
)
"""Options without a value, behind which a requirement may stand."""
_REQUIREMENT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*(\[[A-Za-z0-9._,-]*\])?([=<>!~]=?[^\s@:]*)?")
_KEPT_COMMANDS = frozenset({"install", "download", "lock", "gateway"})


@dataclass(frozen=True)
class LastRun:
    """A run that has ended.

    Attributes:
        command: ``install``, ``download``, ``lock`` or ``gateway``.
        asked: The requirements that its command line named; nothing else of it is kept.
        ended: When (UTC).
        exit_code: What it ended with; 3 for a refusal.
        kind: The type of its error, ``VerificationError``; "" where there was none.
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
    """Keep what a run was. That it cannot be kept is not said.

    Args:
        words: Its command line.
        exit_code: What it ends with.
        error: Why it failed.
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
        "what": redact_text(error.what)[:_MAX_TEXT] if error is not None else "",
        "meaning": redact_text(error.meaning)[:_MAX_TEXT] if error is not None else "",
        "remedy": redact_text(error.remedy)[:_MAX_TEXT] if error is not None else "",
    }
    with suppress(OSError, SecurepipError, ValueError):
        replace_file(data_dir() / _NAME, json.dumps(document, indent=1).encode(), durable=False)


def read_last_run() -> LastRun | None:
    """What was kept of the last run; None where nothing was, or it cannot be read.

    Raises:
        SecurepipError: The folder of the state is not the user's alone.
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
    """The words that can be nothing but names: the value of an option may be a secret."""
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
