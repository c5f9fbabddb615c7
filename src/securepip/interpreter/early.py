"""The process of the target's interpreter, begun before anything else of an install is.

Rule: what is found here is a hint. It decides when the interpreter starts and pip is loaded, and
nothing else.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from securepip.errors import SecurepipError
from securepip.interpreter.find import meant_interpreter
from securepip.interpreter.process import Pip

_NAMED = re.compile(r"([a-z0-9][a-z0-9._-]*)\s*(?:\[[^]]*\])?\s*(?:[=<>!~][^;@]*)?", re.IGNORECASE)
"""A requirement by name and nothing else; one with a marker may mean nothing here."""


def begin(python: str | None, words: Sequence[str], *, surely: bool = False) -> Pip | None:
    """Start the process that an install will need.

    Args:
        python: As ``meant_interpreter``.
        words: What is to be installed, as the command line has it.
        surely: Whether something will be installed whatever is there already.

    Returns:
        None where it is not needed yet, or cannot be started: what asks for it later says why.
    """
    named = (_NAMED.fullmatch(word) for word in words)
    wanted = None if surely else [match[1] for match in named if match]
    with suppress(SecurepipError):
        interpreter = meant_interpreter(python)
        if interpreter is not None:
            return Pip(Path(interpreter), asked=True, wanted=wanted)
        if wanted is None or any(map(_is_missing, wanted)):
            return Pip(Path(sys.executable))
    return None


def _is_missing(project: str) -> bool:
    # Here, because where another interpreter is meant, that one looks.
    from securepip.interpreter._worker import is_missing

    return is_missing(project)
