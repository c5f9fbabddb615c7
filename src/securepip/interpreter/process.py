"""Runs programs on the target's interpreter, in a clean environment.

Rule: neither variables nor the current folder decide what these programs import or install. The
environment has no ``PIP_*``, no ``PYTHONPATH`` and no configuration file, and the pip that runs is
the one that is installed beside securepip.
"""

from __future__ import annotations

import json
import os
import select
import signal
import site
import subprocess
import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from importlib.machinery import PathFinder
from pathlib import Path
from typing import IO

import packaging

from securepip.errors import InstallationError

# The user's settings for the user site and for byte code, which count for pip too. Any other
# PYTHON* variable could make the interpreter run other code.
_KEPT = frozenset(
    {"PYTHONNOUSERSITE", "PYTHONUSERBASE", "PYTHONOPTIMIZE", "PYTHONPYCACHEPREFIX"}
    | {"PYTHONDONTWRITEBYTECODE"}
)
_DROPPED = ("PYTHON", "_PYTHON", "__PYVENV", "PIP_", "_PIP", "ENSUREPIP")
_TICK = 0.1  # seconds
_ANSWER_SECONDS = 60
_KILL = getattr(signal, "SIGKILL", signal.SIGTERM)
_WORKER = Path(__file__).with_name("_worker.py")
"""Not imported here, because it imports what only the target's interpreter needs."""


def clean_environment() -> dict[str, str]:
    """The environment variables of a program that runs on the target's interpreter."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if name in _KEPT or not name.startswith(_DROPPED)
    }
    return {**kept, "PIP_CONFIG_FILE": os.devnull}


def pip_runner() -> Path:
    """The script by which any interpreter runs the pip beside securepip, as ``pip --python`` does.

    Running it directly saves starting a second interpreter (0.2 s). Only site-packages folders, and
    folders that their ``.pth`` files add, are searched: a ``pip`` folder that somebody put into the
    current folder, or on ``PYTHONPATH``, is never found.

    Raises:
        InstallationError: There is no pip beside securepip.
    """
    folders = site.getsitepackages()
    if site.ENABLE_USER_SITE:
        folders = [*folders, site.getusersitepackages()]
    spec = PathFinder.find_spec("pip", folders) or PathFinder.find_spec("pip", _added(folders))
    runner = Path(spec.origin).with_name("__pip-runner__.py") if spec and spec.origin else None
    if runner is None or not runner.is_file():
        raise InstallationError(
            f"pip is not installed beside securepip (looked in {', '.join(folders)}).",
            remedy="Install securepip again: it depends on pip.",
        )
    return runner


def _added(folders: Sequence[str]) -> list[str]:
    """The folders that ``.pth`` files in ``folders`` add, as ``site`` reads them.

    In this way pipx shares one pip among the environments of all its applications.
    """
    return [
        str(Path(folder, line.rstrip()))
        for folder in folders
        for path in sorted(Path(folder).glob("*.pth"))
        for line in _lines(path)
        if line.strip() and not line.startswith(("#", "import ", "import\t"))
    ]


def _lines(path: Path) -> list[str]:
    """The lines of a file; none if it cannot be read, as in ``site``."""
    try:
        return path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []


class Pip:
    """A process of the target's interpreter that loads securepip's own pip, and runs it later.

    Loading Python and pip takes longer than installing a small wheel, so the process is started
    before securepip resolves and fetches. The same process describes its interpreter, which saves
    starting another one. As a context manager it ends the process at the end of the block.

    pip gets no terminal and no standard input. If securepip is interrupted, pip is interrupted once
    and waited for, so that it can roll back.

    Args:
        python: The target's interpreter.
        asked: Whether its ``facts`` are wanted.
        wanted: Names of projects: pip is loaded if one of them is not installed, or when ``load``
            or ``run`` is called. None to load it at once.

    Raises:
        InstallationError: The process cannot be started.
    """

    def __init__(
        self, python: Path, *, asked: bool = False, wanted: Sequence[str] | None = None
    ) -> None:
        self._said = tempfile.TemporaryFile()  # noqa: SIM115 - closed by __exit__
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed by __exit__
        self._answers: int | None
        self._answers, answers = os.pipe()
        self._is_asked = asked
        self._facts = b""
        settings = {
            "runner": str(pip_runner()),
            "answers": answers,
            "packaging": str(Path(packaging.__file__).parent) if asked else None,
            "wanted": wanted,
            "whole": False,
        }
        try:
            self._process = subprocess.Popen(
                [str(python), str(_WORKER)],
                stdin=subprocess.PIPE,
                stdout=self._said,
                stderr=self._errors,
                env=clean_environment(),
                pass_fds=(answers,),
                # In a session of its own, pip does not get Ctrl-C from the terminal as well: a
                # second interrupt would break its roll-back.
                start_new_session=True,
            )
        except OSError as error:
            self._close()
            raise InstallationError(f"{python} cannot be run: {error}") from None
        finally:
            os.close(answers)
        self._send(settings)

    def facts(self) -> bytes | None:
        """The facts about the interpreter (``_probe.facts``), as JSON.

        Returns:
            None if they are not wanted, if the process did not answer, or if variables that it does
            not get (``_PYTHON…``) could change them.
        """
        if self._is_asked:
            self._is_asked, self._facts = False, self._answer()
        if any(name.startswith("_PYTHON") for name in os.environ):
            return None
        return self._facts or None

    def ask(self, program: str, question: object) -> bytes:
        """Call ``answer(question)`` of a program in the interpreter.

        Args:
            program: The file of a module that imports only the standard library.
            question: A value that JSON can hold.

        Returns:
            The result, as JSON; b"" if there is no answer.
        """
        self.facts()
        self._send({"program": program, "question": question})
        return self._answer()

    def load(self) -> None:
        """Load pip, if it is not loaded yet."""
        self._send({})

    def run(
        self,
        arguments: Sequence[str],
        order: Sequence[str] = (),
        shares: Sequence[Sequence[str]] = (),
        *,
        while_running: Callable[[], None],
    ) -> tuple[int, str, str]:
        """Run pip to its end.

        Args:
            arguments: pip's command line.
            order: Normalized names of projects, in the order in which they are to be installed.
            shares: For each process that installs, the arguments to add to the command line.
            while_running: Called about ten times a second.

        Returns:
            pip's exit code, its standard output and its standard error.
        """
        try:
            instruction = {
                "arguments": [*arguments],
                "order": [*order],
                "shares": [*map(list, shares)],
            }
            self._send(instruction)
            code = _wait(self._process, while_running)
        except BaseException:
            self._signal(signal.SIGINT)
            self._process.wait()
            raise
        return code, _text(self._said), _text(self._errors)

    def __enter__(self) -> Pip:
        return self

    def __exit__(self, *exception: object) -> None:
        self._signal(_KILL)
        self._process.wait()
        self._close()
        if self._process.stdin is not None:
            with suppress(BrokenPipeError):
                self._process.stdin.close()

    def _signal(self, number: int) -> None:
        """Send a signal to all processes of pip (``_shares``)."""
        ended = self._process.poll()
        if ended is not None and ended >= 0:
            return  # it has waited for the others
        if hasattr(os, "killpg"):
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, number)
        else:  # Windows, where there is only one
            self._process.send_signal(number)

    def _close(self) -> None:
        self._said.close()
        self._errors.close()
        if self._answers is not None:
            os.close(self._answers)
            self._answers = None

    def _answer(self) -> bytes:
        """The next line of its answers; b"" if there is none."""
        line = b""
        while not line.endswith(b"\n"):
            if (
                self._answers is None
                or not select.select([self._answers], [], [], _ANSWER_SECONDS)[0]
            ):
                return b""
            piece = os.read(self._answers, 1 << 16)
            if not piece:
                return b""
            line += piece
        return line

    def _send(self, line: Mapping[str, object]) -> None:
        """Send a line that the process reads."""
        stream = self._process.stdin
        if stream is not None:
            with suppress(BrokenPipeError):  # it has ended, and its output says why
                stream.write(json.dumps(line).encode() + b"\n")
                stream.flush()


def _text(stream: IO[bytes]) -> str:
    stream.seek(0)
    return stream.read().decode(errors="replace")


def _wait(process: subprocess.Popen[bytes], while_running: Callable[[], None]) -> int:
    # `wait(timeout=…)` polls, and would return up to 0.05 s after the end.
    waiting = threading.Thread(target=process.wait, daemon=True)
    waiting.start()
    while waiting.is_alive():
        waiting.join(_TICK)
        while_running()
    return process.wait()
