"""Programs that run on the target's interpreter: with what environment, and how they are stopped.

Rule: nothing of the caller's surroundings decides what they import or install. The environment
holds no ``PIP_*``, no ``PYTHONPATH`` and no configuration file, and the pip that runs is the one
that is installed beside securepip, wherever the caller stands.
"""

from __future__ import annotations

import os
import signal
import site
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from importlib.machinery import PathFinder
from pathlib import Path

from securepip.errors import InstallationError

# Where a Python looks for the user's own packages, and what byte code it writes: the user's
# settings for pip too. Every other PYTHON* variable could bring in code.
_KEPT = frozenset(
    {"PYTHONNOUSERSITE", "PYTHONUSERBASE", "PYTHONOPTIMIZE", "PYTHONPYCACHEPREFIX"}
    | {"PYTHONDONTWRITEBYTECODE"}
)
_DROPPED = ("PYTHON", "_PYTHON", "__PYVENV", "PIP_", "_PIP", "ENSUREPIP")
_TICK = 0.1  # seconds


def clean_environment() -> dict[str, str]:
    """The environment variables of a program that runs on the target's interpreter."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if name in _KEPT or not name.startswith(_DROPPED)
    }
    return {**kept, "PIP_CONFIG_FILE": os.devnull}


def pip_runner() -> Path:
    """The script of our own pip that any interpreter can run: what ``pip --python`` starts.

    It is started directly, which spares a second interpreter (0.2 s). Only the folders that
    packages are installed in are searched: a ``pip`` folder in the current folder or on
    ``PYTHONPATH`` is never found.

    Raises:
        InstallationError: There is no pip beside securepip.
    """
    folders = site.getsitepackages()
    if site.ENABLE_USER_SITE:
        folders = [*folders, site.getusersitepackages()]
    spec = PathFinder.find_spec("pip", folders)
    runner = Path(spec.origin).with_name("__pip-runner__.py") if spec and spec.origin else None
    if runner is None or not runner.is_file():
        raise InstallationError(
            f"pip is not installed beside securepip (looked in {', '.join(folders)}).",
            remedy="Install securepip again: it depends on pip.",
        )
    return runner


def run(command: Sequence[str], *, while_running: Callable[[], None]) -> tuple[int, str]:
    """Run a program to its end and return its exit code and what it wrote to standard error.

    It has no terminal and no standard input. When the caller is interrupted, the program is
    interrupted once and waited for, so that it can put back what it was about to replace.

    Args:
        command: The program and its arguments.
        while_running: Called about ten times a second.

    Raises:
        InstallationError: It cannot be started.
    """
    with tempfile.TemporaryFile() as errors:
        try:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=errors,
                env=clean_environment(),
                # In a session of its own a Ctrl-C reaches us alone: two would break a roll-back.
                start_new_session=True,
            )
        except OSError as error:
            raise InstallationError(f"{command[0]} cannot be run: {error}") from None
        try:
            code = _wait(process, while_running)
        except BaseException:
            process.send_signal(signal.SIGINT)
            process.wait()
            raise
        errors.seek(0)
        return code, errors.read().decode(errors="replace")


def _wait(process: subprocess.Popen[bytes], while_running: Callable[[], None]) -> int:
    while True:
        try:
            return process.wait(timeout=_TICK)
        except subprocess.TimeoutExpired:
            while_running()
