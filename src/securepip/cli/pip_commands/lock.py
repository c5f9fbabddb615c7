"""``securepip lock``: requirements → plan → ``pylock.toml`` (PEP 751)."""

from __future__ import annotations

import argparse
import sys
from contextlib import ExitStack, redirect_stdout
from pathlib import Path

from securepip.cli import console
from securepip.cli.pip_commands import install, request
from securepip.errors import SecurepipError


def run(arguments: argparse.Namespace) -> int:
    """Run the command; return its exit code."""
    if arguments.unsafe:
        return install.plain_pip(arguments)
    from securepip.lock import is_lock_path, make_lock

    # A lock is for the Python that is asked: pip's `lock` has no options for another target.
    for name in ("platforms", "python_version", "implementation", "abis"):
        setattr(arguments, name, None)
    console.warn(
        "lock is currently an experimental command, as in pip. It may be changed in a future "
        "release without prior warning."
    )
    to_stdout = arguments.output_file == "-"
    place = Path(arguments.output_file)
    if not to_stdout and not is_lock_path(place):
        console.warn(f"{place} is not a valid lock file name.")
    with ExitStack() as stack:
        if to_stdout:  # nothing else may stand there
            stack.enter_context(redirect_stdout(sys.stderr))
        asked = request.prepare(arguments, "lock", stack)
        plan = asked.resolve(ignore_installed=True)
        request.say_unsigned(plan)
        folder = Path.cwd() if to_stdout else place.parent
        text = make_lock(
            plan.install, folder, lambda project, file: asked.index.signed_by(project, file)[1]
        )
    if to_stdout:
        sys.stdout.write(text)
        return 0
    try:
        place.write_text(text, encoding="utf-8")
    except OSError as error:
        raise SecurepipError(f"The lock {place} cannot be written: {error.strerror}") from None
    return 0
