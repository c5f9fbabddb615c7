"""The start-up line: it makes Python load the plugin when pip is imported, and only then.

Rule: when a start-up line fails, ``site`` prints the error and goes on, so the line depends on
nothing but itself. It puts a finder before all others. The finder reacts to one name,
``pip._internal``, and ``loader`` does the rest.

Source: the documentation of ``site``; PEP 829 for ``.start`` files (Python 3.15 and later). Until
Python 3.17, ``import`` lines of a ``.pth`` file still run, unless a ``.start`` file of the same
name exists. The two files have different names, so that the line alone is enough until then.
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
    # The line is short because every Python that starts here compiles it; a string literal costs
    # little. In a virtual environment `site` reads the file twice: the second time does nothing.
    # An earlier start-up file may have imported pip already.
    code = f"{Path(loader.__file__).read_text(encoding='utf-8')}\nrun(rest, {dict(config)!a})"
    return (
        f'"{loader.NAME}" in str(sys.meta_path) or sys.meta_path.insert(0, '
        f'type(sys.implementation)(name="{loader.NAME}", find_spec=lambda name, *rest: '
        f'name == "pip._internal" and exec({code!a}, {{"rest": rest}}) or None)); '
        '"pip._internal" in sys.modules and sys.meta_path[0].find_spec("pip._internal", "early")'
    )
