"""The start-up line: what makes Python load the plugin when, and only when, pip is imported.

Rule: ``site`` prints what goes wrong in a start-up line and goes on, so the line needs nothing
but itself. It puts a finder before all others, which has a look at each name that is imported and
does nothing about any but ``pip._internal``. All else happens then, in ``loader``.

Source: the documentation of ``site``; PEP 829 for ``.start`` files (Python 3.15 and later). Until
Python 3.17 ``import`` lines of a ``.pth`` file work, unless a ``.start`` file of the same name is
there; the two files have different names, so that then the line alone is enough.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from securepip.plugin import loader


def start_line(config: Mapping[str, object]) -> str:
    """The one line of the ``.pth`` file, in ASCII.

    Args:
        config: What ``loader.load`` takes, in types whose ``repr`` is Python.
    """
    return f"import sys; {_statement(config)}\n"


def start_module(config: Mapping[str, object]) -> str:
    """The module whose ``start`` a ``.start`` file names; it does the same as the line."""
    return (
        '"""Starts securepip\'s plugin where start-up lines are no longer run (PEP 829)."""\n'
        "import sys\n"
        "def start():\n"
        f"    {_statement(config)}\n"
    )


def _statement(config: Mapping[str, object]) -> str:
    # Short, since every Python that starts here compiles it; what is in quotes costs little. In a
    # virtual environment `site` reads its files twice. An earlier one may have imported pip.
    code = f"{Path(loader.__file__).read_text(encoding='utf-8')}\nrun(rest, {dict(config)!a})"
    return (
        f'"{loader.NAME}" in str(sys.meta_path) or sys.meta_path.insert(0, '
        f'type(sys.implementation)(name="{loader.NAME}", find_spec=lambda name, *rest: '
        f'name == "pip._internal" and exec({code!a}, {{"rest": rest}}) or None)); '
        '"pip._internal" in sys.modules and sys.meta_path[0].find_spec("pip._internal", "early")'
    )
