"""``securepip lock``: requirements → plan → ``pylock.toml`` (PEP 751)."""

from __future__ import annotations

import sys
from contextlib import ExitStack, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING

from securepip.cli import console
from securepip.cli.pip_commands import said
from securepip.cli.pip_commands.prepare import prepare
from securepip.errors import SecurepipError

if TYPE_CHECKING:
    from securepip.cli.pip_commands.requests import LockRequest


def run(request: LockRequest) -> int:
    """Write a lock file of what ``install`` would install.

    Returns:
        The exit code: 0.

    Raises:
        SecurepipError: Something cannot be found or verified, or the file cannot be written.
    """
    from securepip.lock import is_lock_path, make_lock

    console.warn(
        "lock is currently an experimental command, as in pip. It may be changed in a future "
        "release without prior warning."
    )
    to_stdout = request.output == "-"
    place = Path(request.output)
    if not to_stdout and not is_lock_path(place):
        console.warn(f"{place} is not a valid lock file name.")
    with ExitStack() as stack:
        if to_stdout:  # nothing but the lock may be printed there
            stack.enter_context(redirect_stdout(sys.stderr))
        asked = prepare(request, stack)
        plan = asked.resolve(ignore_installed=True)
        said.say_unsigned(plan)
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
