"""The changes that may live: what they say, and why they change nothing that matters."""

from __future__ import annotations

import sys
from pathlib import Path

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

_FILE = Path(__file__).with_name("accepted.toml")

Key = tuple[str, str, str]


def accepted() -> dict[Key, str]:
    """The reason by the change: its module, what the lines say, what they say instead.

    Where a module has such lines twice, it is the reason for each of them.
    """
    entries = tomllib.loads(_FILE.read_text(encoding="utf-8")).get("accepted", [])
    return {(one["module"], one["before"], one["after"]): one["reason"] for one in entries}
