"""Reads TOML that strangers wrote: a lock file on a server, the ``pyproject.toml`` of an sdist.

Rule: the standard library's parser needs time and memory that grow with the square of the number
of names in one dotted key. A key of 60 kB takes 4 GB, and the system then ends the process. So
such a key is refused before the file is parsed.

Source: TOML 1.0 (keys, strings, comments).
"""

from __future__ import annotations

import re
import sys
from typing import Any

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

MAX_NAMES = 100
"""The most names in one dotted key. People write three or four."""

_TOKEN = re.compile(
    r'(?P<skipped>"""(?:[^\\"]|\\.|"(?!""))*"{3,5}|\'{3}(?:[^\']|\'(?!\'\'))*\'{3,5}|#[^\n]*)'
    r'|(?P<name>[A-Za-z0-9_-]+|"(?!"")(?:[^\\"\n]|\\.)*"|\'(?!\'\')[^\'\n]*\')'
    r"|(?P<dot>[ \t]*\.[ \t]*)"
    r"|(?P<open>[\"'])"
    r"|.",
    re.DOTALL,
)


def parse_toml(text: str) -> dict[str, Any]:
    """Parse a TOML document.

    Args:
        text: The document. Its length is for the caller to limit: the parser needs 100 times as
            much memory.

    Raises:
        ValueError: It is not TOML, or nested deeper than the parser can follow, or has a key of
            more than ``MAX_NAMES`` names.
    """
    # A key does not go on in the next line.
    if any(line.count(".") >= MAX_NAMES for line in text.split("\n")) and _has_long_key(text):
        raise ValueError(f"a key of more than {MAX_NAMES} names")
    try:
        return tomllib.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def _has_long_key(text: str) -> bool:
    names = 0
    for token in _TOKEN.finditer(text):
        if token.lastgroup == "name":
            names += 1
            if names > MAX_NAMES:
                return True
        elif token.lastgroup == "open":
            return False  # A string without an end: the parser refuses it there.
        elif token.lastgroup != "dot":
            names = 0
    return False
