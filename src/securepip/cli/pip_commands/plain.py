"""``--unsafely-disable-package-verification``: runs pip itself with the same command line."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence

from securepip.cli import console

UNSAFE = "--unsafely-disable-package-verification"


def run(words: Sequence[str], python: str | None) -> int:
    """Run pip with securepip's command line, after a warning that ``--quiet`` does not hide.

    Args:
        words: The command line.
        python: The value of ``--python``.

    Returns:
        pip's exit code.
    """
    from securepip.interpreter.process import pip_runner

    console.warn(
        "package verification is switched off: nothing that is installed now was checked.\n"
        f"Leave out {UNSAFE} to install verified packages.",
        always=True,
    )
    # pip requires it before the command.
    before = () if python is None else ("--python", python)
    # Not `-m pip`, which would run a `pip.py` of the current folder.
    command = [sys.executable, str(pip_runner()), *before, *_words_for_pip(words)]
    return subprocess.run(command, check=False).returncode


def _words_for_pip(words: Sequence[str]) -> list[str]:
    """The command line without securepip's own options, and without ``--python``."""
    kept = []
    rest = iter(words)
    for word in rest:
        name, separator, _ = word.partition("=")
        if name in ("--python", "--repository"):
            if not separator:
                next(rest)
        elif word not in (UNSAFE, "--allow-older-releases", "--read-only-state"):
            kept.append(word)
    return kept
