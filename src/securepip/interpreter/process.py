"""Programs that run on the target's interpreter: with what environment, and how they are stopped.

Rule: nothing of the caller's surroundings decides what they import or install. The environment
holds no ``PIP_*``, no ``PYTHONPATH`` and no configuration file, and the pip that runs is the one
that is installed beside securepip, wherever the caller stands.
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

# Where a Python looks for the user's own packages, and what byte code it writes: the user's
# settings for pip too. Every other PYTHON* variable could bring in code.
_KEPT = frozenset(
    {"PYTHONNOUSERSITE", "PYTHONUSERBASE", "PYTHONOPTIMIZE", "PYTHONPYCACHEPREFIX"}
    | {"PYTHONDONTWRITEBYTECODE"}
)
_DROPPED = ("PYTHON", "_PYTHON", "__PYVENV", "PIP_", "_PIP", "ENSUREPIP")
_TICK = 0.1  # seconds
_ANSWER_SECONDS = 60
_KILL = getattr(signal, "SIGKILL", signal.SIGTERM)
_WORKER = Path(__file__).with_name("_worker.py")
"""Not imported: it brings along what only the target's interpreter needs of it."""


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
    packages are installed in are searched, and those that these add: a ``pip`` folder in the
    current folder or on ``PYTHONPATH`` is never found.

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

    pipx shares one pip among the environments of all its applications in this way.
    """
    return [
        str(Path(folder, line.rstrip()))
        for folder in folders
        for path in sorted(Path(folder).glob("*.pth"))
        for line in _lines(path)
        if line.strip() and not line.startswith(("#", "import ", "import\t"))
    ]


def _lines(path: Path) -> list[str]:
    """The lines of a file; none of one that cannot be read, as for ``site``."""
    try:
        return path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []


class Pip:
    """Our own pip on the target's interpreter, started before it is known what it is to do.

    Loading Python and pip takes longer than installing a small wheel; that time passes while we
    resolve and fetch. Until ``run`` it has been told nothing, and one that is never run is ended
    with the block. The same process says what its interpreter is, which spares another one.

    It has no terminal and no standard input. When the caller is interrupted, pip is interrupted
    once and waited for, so that it can put back what it was about to replace.

    Args:
        python: The target's interpreter.
        asked: Whether its ``facts`` are wanted.
        wanted: Names of projects: pip is loaded when one of them is not installed, or when
            ``load`` or ``run`` says so. None to load it at once.

    Raises:
        InstallationError: It cannot be started.
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
        told = {
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
                # In a session of its own a Ctrl-C reaches us alone: two would break a roll-back.
                start_new_session=True,
            )
        except OSError as error:
            self._close()
            raise InstallationError(f"{python} cannot be run: {error}") from None
        finally:
            os.close(answers)
        self._tell(told)

    def facts(self) -> bytes | None:
        """What the interpreter says of itself (``_probe.facts``), as JSON.

        None where it was not asked or did not answer, and where variables that it is not given
        (``_PYTHON…``) could change the answer.
        """
        if self._is_asked:
            self._is_asked, self._facts = False, self._answer()
        if any(name.startswith("_PYTHON") for name in os.environ):
            return None
        return self._facts or None

    def ask(self, program: str, question: object) -> bytes:
        """What ``answer(question)`` of a program returns in the interpreter.

        Args:
            program: The file of a module that needs nothing of ours.
            question: Something that JSON has.

        Returns:
            JSON; b"" where there is no answer.
        """
        self.facts()
        self._tell({"program": program, "question": question})
        return self._answer()

    def load(self) -> None:
        """Have pip loaded, if it is not yet: it will be needed."""
        self._tell({})

    def run(
        self,
        arguments: Sequence[str],
        order: Sequence[str] = (),
        shares: Sequence[Sequence[str]] = (),
        *,
        while_running: Callable[[], None],
    ) -> tuple[int, str, str]:
        """Run pip to its end; return its exit code, its standard output and standard error.

        Args:
            arguments: pip's command line.
            order: Normalized names of projects, in the order in which they are installed.
            shares: What each of the processes that install at a time adds to the command line.
            while_running: Called about ten times a second.
        """
        try:
            told = {"arguments": [*arguments], "order": [*order], "shares": [*map(list, shares)]}
            self._tell(told)
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
        """Send a signal to all the processes that pip has become (``_shares``)."""
        ended = self._process.poll()
        if ended is not None and ended >= 0:
            return  # It has waited for the others.
        if hasattr(os, "killpg"):
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, number)
        else:  # Windows, where it stays one.
            self._process.send_signal(number)

    def _close(self) -> None:
        self._said.close()
        self._errors.close()
        if self._answers is not None:
            os.close(self._answers)
            self._answers = None

    def _answer(self) -> bytes:
        """The next line of what it answers; b"" where there is none."""
        said = b""
        while not said.endswith(b"\n"):
            if (
                self._answers is None
                or not select.select([self._answers], [], [], _ANSWER_SECONDS)[0]
            ):
                return b""
            piece = os.read(self._answers, 1 << 16)
            if not piece:
                return b""
            said += piece
        return said

    def _tell(self, told: Mapping[str, object]) -> None:
        """Send a line that the process reads."""
        stream = self._process.stdin
        if stream is not None:
            with suppress(BrokenPipeError):  # It has ended already, and said why.
                stream.write(json.dumps(told).encode() + b"\n")
                stream.flush()


def _text(stream: IO[bytes]) -> str:
    stream.seek(0)
    return stream.read().decode(errors="replace")


def _wait(process: subprocess.Popen[bytes], while_running: Callable[[], None]) -> int:
    # Not `wait(timeout=…)`, which looks now and then, up to 0.05 s after the end.
    waiting = threading.Thread(target=process.wait, daemon=True)
    waiting.start()
    while waiting.is_alive():
        waiting.join(_TICK)
        while_running()
    return process.wait()
