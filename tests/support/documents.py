"""Reads the documents, and the commands that they show.

A block that cannot be run in a test has a comment above it, ``<!-- not run: WHY -->``.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([*(ROOT / "docs").rglob("*.md"), ROOT / "README.md", ROOT / "CONTRIBUTING.md"])
_BLOCK = re.compile(
    r"^(?:<!-- not run: (?P<why>[^>]+) -->\n)?```(?P<language>\w+)\n(?P<text>.*?)^```",
    re.MULTILINE | re.DOTALL,
)


@dataclass(frozen=True)
class Block:
    """A fenced block of a document.

    Attributes:
        language: ``console``, ``yaml``, …
        text: Its contents.
        runs: Whether the tests run it.
    """

    language: str
    text: str
    runs: bool

    def commands(self) -> Iterator[list[str]]:
        """The words of each ``securepip`` command, in order."""
        for line in self.text.replace("\\\n", "").splitlines():
            if line.startswith("$ securepip "):
                # The rest after a pipe or an ampersand is another command.
                line = re.split(r" [&|]( |$)", line.removeprefix("$ securepip "))[0]
                yield shlex.split(line, comments=True)


def blocks(text: str, language: str = "console") -> list[Block]:
    """The blocks of one language in a document, in order."""
    return [
        Block(found["language"], found["text"], found["why"] is None)
        for found in _BLOCK.finditer(text)
        if found["language"] == language
    ]


def commands(text: str) -> Iterator[list[str]]:
    """The words of each ``securepip`` command that the tests run, in a document."""
    for block in blocks(text):
        if block.runs:
            yield from block.commands()
