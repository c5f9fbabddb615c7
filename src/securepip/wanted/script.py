"""The inline metadata of a script (PEP 723)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from securepip.errors import RequirementError
from securepip.resolver import UserRequirement
from securepip.wanted.tables import Table, parse_tables, read_bytes

# The regular expression of the specification ("Inline script metadata").
_BLOCK = re.compile(r"(?m)^# /// (?P<type>[a-zA-Z0-9-]+)$\s(?P<content>(^#(| .*)$\s)+)^# ///$")


@dataclass(frozen=True)
class ScriptMetadata:
    """What a script says of itself.

    Attributes:
        requires_python: The versions of Python that it is for; "" for any.
        dependencies: What it requires.
    """

    requires_python: str
    dependencies: tuple[str, ...]


def has_block(text: str) -> bool:
    """Whether a text is that of a script with inline metadata."""
    return any(found["type"] == "script" for found in _BLOCK.finditer(text))


def read_script_metadata(path: str) -> ScriptMetadata:
    """The inline metadata of a script.

    Raises:
        RequirementError: It cannot be read, has none, or it is not valid.
    """
    tables = _tables(path)
    return ScriptMetadata(tables.text("requires-python"), tuple(tables.texts("dependencies")))


def read(path: str) -> Iterator[UserRequirement]:
    """What a script requires.

    Raises:
        RequirementError: As ``read_script_metadata``, or a requirement is not valid.
    """
    tables = _tables(path)
    yield from map(tables.requirement, tables.texts("dependencies"))


def _tables(path: str) -> Table:
    try:
        text = read_bytes(path).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise RequirementError(f"The script {path!r} cannot be read: {error}") from None
    text = text.replace("\r\n", "\n")
    blocks = [found for found in _BLOCK.finditer(text) if found["type"] == "script"]
    if not blocks:
        raise RequirementError(f"File does not contain 'script' metadata: {path!r}")
    if len(blocks) > 1:
        raise RequirementError(f"Multiple 'script' blocks found in {path!r}")
    lines = blocks[0]["content"].splitlines(keepends=True)
    content = "".join(line[2 if line[1:2] == " " else 1 :] for line in lines)
    return parse_tables(path, content.encode())
