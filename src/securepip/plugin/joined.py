"""The shim as the one file that an environment gets: its modules, one after the other.

Rule: in that file all of them are one module. An import of one from another falls away, so no two
of them may give things the same name; and none may need more than the standard library.

Most commands of pip's do not fetch. Python compiles the file for each of them, because byte code
would be a second thing to verify; so what only a pip that fetches needs is a text in it, which
costs nothing to compile. An import of that from a function is what compiles it.
"""

from __future__ import annotations

import ast
from pathlib import Path

import securepip

MODULES = (
    "plugin/shim/inside",
    "plugin/shim/hint",
    "plugin/shim/guard",
    "plugin/shim/seams",
)
"""What is joined, each after those that it imports."""
LATER = (
    "redaction",
    "plugin/shim/gateway",
    "plugin/shim/adapter",
    "plugin/shim/requirements",
)
"""The same, of what only a pip that fetches needs."""

_QUOTES = "'''"
_COMPILES = """

_LATER_LOCK = threading.RLock()


def _later() -> None:
    \"\"\"Define what only a pip that fetches needs, once.\"\"\"
    with _LATER_LOCK:
        if "_LATER" in globals():
            exec(compile(_LATER, "what fetches in _securepip_plugin.py", "exec"), globals())
            del globals()["_LATER"]
"""


def joined_shim() -> str:
    """The source of that file.

    Raises:
        ValueError: What comes later cannot stand in quotes.
    """
    home = Path(securepip.__file__).parent
    door = home.joinpath("plugin/shim/__init__.py").read_text(encoding="utf-8")
    # Python wants this import before everything but the docstring.
    future = "from __future__ import annotations\n"
    now, later = (
        [_body(home.joinpath(f"{name}.py").read_text(encoding="utf-8")) for name in names]
        for names in (MODULES, LATER)
    )
    text = "\n".join([future, *later])
    if _QUOTES in text:
        raise ValueError(f"{_QUOTES} in what comes later")
    quoted = f"_LATER = r{_QUOTES}{text}{_QUOTES}\n"
    return "\n".join([door, future, *now, _COMPILES, quoted])


def _body(source: str) -> str:
    """A module without the imports that have no meaning, or no place, in the joined file."""
    lines = source.splitlines(keepends=True)
    tree = ast.parse(source)
    for node in reversed([*ast.walk(tree)]):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            _replace(lines, node, "")
        elif isinstance(node, ast.ImportFrom) and str(node.module).startswith(
            ("__future__", f"{securepip.__name__}.")
        ):
            _replace(lines, node, "_later()" if node.col_offset else "")
    return "".join(lines)


def _replace(lines: list[str], node: ast.stmt, statement: str) -> None:
    """Put a statement, or nothing, in the place of another."""
    for number in range(node.lineno, (node.end_lineno or node.lineno) + 1):
        lines[number - 1] = ""
    if statement:
        lines[node.lineno - 1] = f"{' ' * node.col_offset}{statement}\n"
