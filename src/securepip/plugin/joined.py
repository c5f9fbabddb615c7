"""Joins the modules of the shim into the one file that an environment gets.

Rule: in that file, all of them are one module. Imports between them are removed, so no two of them
may define the same name, and none may import more than the standard library.

Python compiles the file for each pip command, because byte code would have to be verified too. Most
pip commands do not fetch, so the modules that only fetching needs are a string in the file, which
costs nothing to compile. An import of one of them inside a function compiles that string.
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
"""The modules that are joined, each after those that it imports."""
LATER = (
    "redaction",
    "plugin/shim/gateway",
    "plugin/shim/adapter",
    "plugin/shim/requirements",
)
"""The modules that only a pip that fetches needs, in the same order."""

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
    """The source of the joined file.

    Raises:
        ValueError: One of the ``LATER`` modules holds the quotes that delimit the string.
    """
    home = Path(securepip.__file__).parent
    docstring = home.joinpath("plugin/shim/__init__.py").read_text(encoding="utf-8")
    # Python requires this import before everything but the docstring.
    future = "from __future__ import annotations\n"
    now, later = (
        [_body(home.joinpath(f"{name}.py").read_text(encoding="utf-8")) for name in names]
        for names in (MODULES, LATER)
    )
    text = "\n".join([future, *later])
    if _QUOTES in text:
        raise ValueError(f"{_QUOTES} in what comes later")
    quoted = f"_LATER = r{_QUOTES}{text}{_QUOTES}\n"
    return "\n".join([docstring, future, *now, _COMPILES, quoted])


def _body(source: str) -> str:
    """The source of a module without the imports that the joined file cannot have."""
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
    """Replace a statement with another one, or with nothing."""
    for number in range(node.lineno, (node.end_lineno or node.lineno) + 1):
        lines[number - 1] = ""
    if statement:
        lines[node.lineno - 1] = f"{' ' * node.col_offset}{statement}\n"
