"""Refuses a target whose packages another tool manages, before anything is fetched or built.

Rule: as in pip, the target's interpreter decides. The pip that installs the files checks again.

Source: PEP 668.
"""

from __future__ import annotations

import configparser
import locale
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

from securepip.errors import InstallationError
from securepip.installer.build.backend import diagnosis

_NOTE = (
    "note: If you believe this is a mistake, please contact your Python installation or OS "
    "distribution provider. You can override this, at the risk of breaking your Python "
    "installation or OS, by passing --break-system-packages.\n"
    "hint: See PEP 668 for the detailed specification."
)
_DEFAULT_MESSAGE = (
    "The Python environment under this interpreter is managed externally, and may not be\n"
    "manipulated by the user. Please use specific tooling from the distributor of\n"
    "the Python installation to interact with this environment instead."
)


def refuse_externally_managed(marker: Path) -> NoReturn:
    """Refuse to install where a tool of the operating system manages the packages.

    Args:
        marker: The target's ``EXTERNALLY-MANAGED`` file.

    Raises:
        InstallationError: Always, with the message in the file if it can be read.
    """
    message = _message_in(marker) or _DEFAULT_MESSAGE
    raise InstallationError(
        diagnosis(
            "externally-managed-environment",
            "This environment is externally managed",
            message,
            _NOTE,
        )
    )


def _message_in(marker: Path) -> str:
    """The message in the file, if possible in the user's language; "" if there is none."""
    parser = configparser.ConfigParser(interpolation=None)
    try:
        parser.read_string(marker.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, configparser.Error):
        return ""
    section = "externally-managed"
    words = (parser.get(section, key, fallback="") for key in _keys())
    return next(filter(None, words), "")


def _keys() -> Iterator[str]:
    category = getattr(locale, "LC_MESSAGES", None)  # not on every system
    language = None if category is None else locale.getlocale(category)[0]
    if language:
        yield f"Error-{language}"
        yield from (f"Error-{language.partition(mark)[0]}" for mark in "-_" if mark in language)
    yield "Error"
