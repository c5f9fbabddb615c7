"""The accepted changes, which no test needs to notice, with the reason for each."""

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
    """The reasons by change: its module, the lines before, and the lines after.

    If a module has the same lines twice, the reason is for both.
    """
    entries = tomllib.loads(_FILE.read_text(encoding="utf-8")).get("accepted", [])
    return {(one["module"], one["before"], one["after"]): one["reason"] for one in entries}
