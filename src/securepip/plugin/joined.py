"""The shim as the one file that an environment gets: its modules, one after the other.

Rule: in that file all of them are one module. An import of one from another falls away, so no two
of them may give things the same name; and none may need more than the standard library.
"""

from __future__ import annotations

import ast
from pathlib import Path

import securepip

MODULES = (
    "redaction",
    "plugin/shim/inside",
    "plugin/shim/gateway",
    "plugin/shim/adapter",
    "plugin/shim/requirements",
    "plugin/shim/guard",
    "plugin/shim/seams",
)
"""What is joined, each after those that it imports."""


def joined_shim() -> str:
    """The source of that file."""
    home = Path(securepip.__file__).parent
    door = home.joinpath("plugin/shim/__init__.py").read_text(encoding="utf-8")
    parts = [home.joinpath(f"{name}.py").read_text(encoding="utf-8") for name in MODULES]
    # Python wants this import before everything but the docstring.
    return "\n".join([door, "from __future__ import annotations\n", *map(_body, parts)])


def _body(source: str) -> str:
    """A module without the imports that have no meaning, or no place, in the joined file."""
    lines = source.splitlines(keepends=True)
    for node in reversed(ast.parse(source).body):
        if isinstance(node, ast.ImportFrom) and str(node.module).startswith(
            ("__future__", f"{securepip.__name__}.")
        ):
            del lines[node.lineno - 1 : node.end_lineno]
    return "".join(lines)
