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
    """The inline metadata of a script.

    Attributes:
        requires_python: The versions of Python that it supports; "" for any.
        dependencies: Its requirements.
    """

    requires_python: str
    dependencies: tuple[str, ...]


def has_block(text: str) -> bool:
    """Whether a text has inline metadata of a script."""
    return any(block["type"] == "script" for block in _BLOCK.finditer(text))


def read_script_metadata(path: str) -> ScriptMetadata:
    """Read the inline metadata of a script.

    Raises:
        RequirementError: The script cannot be read, or has no valid metadata.
    """
    tables = _tables(path)
    return ScriptMetadata(tables.text("requires-python"), tuple(tables.texts("dependencies")))


def read(path: str) -> Iterator[UserRequirement]:
    """The requirements of a script.

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
    blocks = [block for block in _BLOCK.finditer(text) if block["type"] == "script"]
    if not blocks:
        raise RequirementError(f"File does not contain 'script' metadata: {path!r}")
    if len(blocks) > 1:
        raise RequirementError(f"Multiple 'script' blocks found in {path!r}")
    lines = blocks[0]["content"].splitlines(keepends=True)
    content = "".join(line[2 if line[1:2] == " " else 1 :] for line in lines)
    return parse_tables(path, content.encode())
