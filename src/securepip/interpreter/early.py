"""Starts the process of the target's interpreter before anything else of an install.

Rule: what this module reads from the command line is a hint. It decides only when the interpreter
starts and when pip is loaded.
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
"""A requirement without a marker or URL. One with a marker may not apply."""


def begin(python: str | None, words: Sequence[str], *, surely: bool = False) -> Pip | None:
    """Start the process that an install will need.

    Args:
        python: As for ``meant_interpreter``.
        words: The requirements on the command line.
        surely: Whether something will be installed in any case.

    Returns:
        None if the process is not needed yet, or cannot be started. In that case a later attempt
        raises the error.
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
    # Imported late: if another interpreter is meant, its own process looks instead.
    from securepip.interpreter._worker import is_missing

    return is_missing(project)
