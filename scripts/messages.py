#!/usr/bin/env python3
"""Collects all error messages from the sources into a page of the documentation.

    scripts/messages.py            writes docs/reference/messages.md
    scripts/messages.py --check    checks whether it is up to date; the exit code is 1 if not

An error has up to three texts: what happened, what that may mean, and what to do next
(`errors.py`). `…` stands for what is only known at run time.
"""

from __future__ import annotations

import ast
import inspect
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from securepip import errors

CHECKOUT = Path(__file__).resolve().parent.parent
SOURCES = CHECKOUT / "src" / "securepip"
DOCUMENT = CHECKOUT / "docs" / "reference" / "messages.md"
HEAD = """# Messages

Every error that securepip can end with, by its exit code. `…` stands for what is known only when it
happens: a file, an address, a number. The indented lines say what it may mean and what to do; a
message without them says enough by itself, or is part of another one.

This page is written by `scripts/messages.py` from where the errors are made.
"""


@dataclass(frozen=True, order=True)
class Message:
    """The texts of one error in the sources.

    Attributes:
        kind: The name of its class.
        what: What happened.
        meaning: What that may mean; "" for nothing.
        remedy: What to do next; "" for nothing.
    """

    kind: str
    what: str
    meaning: str
    remedy: str


def kinds() -> dict[str, type[errors.SecurepipError]]:
    """All classes of errors that are shown to users, by name."""
    return {
        name: each
        for name, each in vars(errors).items()
        if inspect.isclass(each) and issubclass(each, errors.SecurepipError)
    }


def messages() -> set[Message]:
    """All errors that the sources raise."""
    collected: set[Message] = set()
    for path in sorted(SOURCES.rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        constants, known = dict(_constants(tree)), set(_imported(tree)) & kinds().keys()
        for node in ast.walk(tree):
            if isinstance(node, ast.Call):
                name = getattr(node.func, "id", getattr(node.func, "attr", ""))
                if name in known and node.args:
                    given = {each.arg: each.value for each in node.keywords}
                    texts = [node.args[0], given.get("meaning"), given.get("remedy")]
                    what, meaning, remedy = (_text(each, constants) for each in texts)
                    if re.search(r"\w", what):
                        collected.add(Message(name, what, meaning, remedy))
    return collected


def _imported(tree: ast.Module) -> Iterator[str]:
    """The names that a module imports from ``errors``; other classes may have the same names."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module == errors.__name__:
            yield from (alias.name for alias in node.names)


def _constants(tree: ast.Module) -> Iterator[tuple[str, ast.expr]]:
    for node in tree.body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            yield node.targets[0].id, node.value


def _text(node: ast.expr | None, constants: Mapping[str, ast.expr]) -> str:
    """The text of an expression, with `…` for everything that is not a literal."""
    if isinstance(node, ast.Name) and node.id in constants:
        return _text(constants[node.id], {})
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        text = node.value
    elif isinstance(node, ast.JoinedStr):
        parts = (each.value if isinstance(each, ast.Constant) else "…" for each in node.values)
        text = "".join(map(str, parts))
    elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        text = _text(node.left, constants) + _text(node.right, constants)
    else:
        return "" if node is None else "…"
    return re.sub(r"…[…\s]*…", "…", " ".join(text.split()))


def document() -> str:
    """The text of the page."""
    lines, collected = [HEAD], sorted(messages())
    for name, kind in sorted(kinds().items(), key=lambda each: (-each[1].exit_code, each[0])):
        of_kind = [each for each in collected if each.kind == name]
        if not of_kind:
            continue
        summary = " ".join((kind.__doc__ or "").split("\n\n")[0].split())
        exit_code = "" if "exit code" in summary else f" Exit code {kind.exit_code}."
        lines += [f"## {name}", "", _plain(summary) + exit_code, ""]
        for each in of_kind:
            lines.append(f"- {_plain(each.what)}")
            lines += [f"    - {_plain(text)}" for text in (each.meaning, each.remedy) if text]
        lines.append("")
    return "\n".join(lines)


def _plain(text: str) -> str:
    """The text with all characters escaped that have a meaning in Markdown."""
    return re.sub(r"([*_<>\[\]|#])", r"\\\1", text)


def main() -> int:
    page = document()
    if "--check" in sys.argv:
        if DOCUMENT.read_text(encoding="utf-8") == page:
            return 0
        print("docs/reference/messages.md is out of date: run scripts/messages.py")
        return 1
    DOCUMENT.write_text(page, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
