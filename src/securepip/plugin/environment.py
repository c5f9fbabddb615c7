"""The plugin in an environment: put there, taken out again, and tried.

Rule: the environment gets four files whose names nobody else uses, and no distribution. They are
written so that pip is never left with half of a plugin: the file that starts it comes last, and
goes first.
"""

from __future__ import annotations

import errno
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from filelock import FileLock
from packaging.utils import canonicalize_name
from packaging.version import Version

import securepip
from securepip import resolver
from securepip.dirs import data_dir, explained, replace_file
from securepip.errors import SecurepipError, UsageError
from securepip.gateway.by_url import NOBODY_SIGNS
from securepip.interpreter.process import clean_environment
from securepip.plugin.joined import joined_shim
from securepip.plugin.shim.inside import GATEWAY
from securepip.plugin.shim.seams import SWITCH
from securepip.plugin.start import start_line, start_module

_SHIM = "_securepip_plugin.py"
_LINE = "securepip-plugin.pth"
# Other names than that of the line: PEP 829 lets a `.start` file stand for a line of its name.
_START = "securepip-plugin-start.start"
_MODULE = "_securepip_plugin_start.py"
_OLDEST_PIP = Version("23.0")
_TRY_SECONDS = 120
_DENIED = (errno.EACCES, errno.EPERM, errno.EROFS)
_OF_THE_ENVIRONMENT = (*_DENIED, errno.EISDIR, errno.ENOTDIR, errno.ELOOP)
"""Errors for which the environment is the reason; of the others this machine may be."""
_FOR_ALL = 0o644
"""Whoever may use the environment must be able to read what stops pip there."""
# Isolated (-I), so that nothing of the caller's surroundings is imported; securepip may still be
# where that leaves out, in the user's own packages.
_GATEWAY = """import sys
sys.path.append(sys.argv[1])
from securepip.plugin.serve import main
sys.exit(main())"""

LIMITS = (
    "Python started with -S, which reads no start-up files",
    "another Python: after an upgrade to a new minor version, enable it again",
    "ensurepip, which installs the pip that comes with Python, also into new environments",
    "other installers, such as uv: give them `securepip gateway -- COMMAND`",
)
"""What the plugin cannot cover, in words."""


@dataclass(frozen=True)
class Environment:
    """An environment that the plugin is for.

    Attributes:
        python: Its interpreter.
        folder: Where its packages are, and start-up files.
        pip: The version of its pip, or None.
    """

    python: Path
    folder: Path
    pip: Version | None

    @property
    def files(self) -> tuple[Path, ...]:
        """All that the plugin consists of here, what starts it first."""
        names = (_LINE, _START, _MODULE, _SHIM)
        return tuple(self.folder / name for name in names)

    @property
    def is_enabled(self) -> bool:
        """Whether the plugin starts here."""
        return (self.folder / _LINE).exists() or (self.folder / _START).exists()


@dataclass(frozen=True)
class Status:
    """How the plugin does in an environment.

    Attributes:
        enabled: Whether it is there.
        works: Whether pip was seen to refuse what nobody signs.
        problem: What pip said or did instead; "" when it works.
    """

    enabled: bool
    works: bool = False
    problem: str = ""


def find_environment(python: str | None) -> Environment:
    """The environment of an interpreter.

    Args:
        python: The interpreter, or the folder of a virtual environment; securepip's own by default.

    Raises:
        UsageError: There is no such interpreter, or it reads no start-up files.
    """
    target = resolver.probe(python)
    if str(target.purelib) not in target.path:
        raise UsageError(
            f"{target.python} does not look for start-up files in {target.purelib}, where its "
            "packages are, so the plugin could not start there.",
            remedy="Use a virtual environment.",
        )
    return environment_of(target)


def environment_of(target: resolver.TargetEnvironment) -> Environment:
    """The same, of an environment that was asked already."""
    pip = target.installed.get(canonicalize_name("pip"))
    # Not resolved: through its link an interpreter knows of which environment it is.
    return Environment(target.python.absolute(), target.purelib, pip.version if pip else None)


def enable(environment: Environment) -> Status:
    """Put the plugin into an environment, anew if it is there, and try it.

    Raises:
        UsageError: It has no pip, or too old a one, or may not be written to.
        SecurepipError: pip does not work with it; it has been taken out again.
    """
    _check_pip(environment)
    with _changing(environment):
        for path, data in contents(environment).items():
            replace_file(path, data, mode=_FOR_ALL)
    tried = status(environment)
    if not tried.works:
        disable(environment)
        raise SecurepipError(
            f"pip {environment.pip} of {environment.python} does not work with the plugin, which "
            "has been removed again.",
            meaning=tried.problem,
        )
    return tried


def contents(environment: Environment) -> dict[Path, bytes]:
    """What the plugin consists of there, what starts it last."""
    source = joined_shim().encode()
    home = Path(securepip.__file__).parent
    config = {
        "shim": _SHIM,
        "sha256": sha256(source).hexdigest(),
        "command": [sys.executable, "-I", "-c", _GATEWAY, str(home.parent)],
        "needs": [sys.executable, str(home / "__main__.py")],
        "files": [str(path) for path in environment.files],
        "remedy": _remedy(environment),
    }
    line, start, module, code = environment.files
    return {
        code: source,
        module: start_module(config).encode(),
        start: f"{Path(_MODULE).stem}:start\n".encode(),
        line: start_line(config).encode(),
    }


def disable(environment: Environment) -> None:
    """Take the plugin out of an environment; nothing of it stays.

    Raises:
        UsageError: The environment may not be written to.
    """
    with _changing(environment):
        for path in environment.files:
            path.unlink(missing_ok=True)
        cache = environment.folder / "__pycache__"
        for path in cache.glob(f"{Path(_MODULE).stem}.*"):
            path.unlink(missing_ok=True)
        with suppress(OSError):  # others have byte code there
            cache.rmdir()


def status(environment: Environment) -> Status:
    """Try whether pip refuses to install from an address that nobody signs for.

    Raises:
        UsageError: The environment has no pip to try.
    """
    if not environment.is_enabled:
        return Status(enabled=False)
    if environment.pip is None:
        return Status(enabled=True, problem="There is no pip in the environment.")
    with _listening() as (port, visitors), tempfile.TemporaryDirectory() as empty:
        variables = clean_environment()
        for name in (SWITCH, GATEWAY):
            variables.pop(name, None)
        index = f"http://127.0.0.1:{port}/simple/"
        command = [str(environment.python), "-m", "pip", "--isolated", "--no-input",
                   "--disable-pip-version-check", "download", "--no-deps", "--no-cache-dir",
                   "--retries=0", "--timeout=15", "-d", empty, f"--index-url={index}",
                   "securepip-plugin-test"]  # fmt: skip
        try:
            done = subprocess.run(
                command, env=variables, cwd=empty, stdin=subprocess.DEVNULL, capture_output=True,
                text=True, errors="replace", timeout=_TRY_SECONDS, check=False,
            )  # fmt: skip
        except (OSError, subprocess.TimeoutExpired) as error:
            return Status(enabled=True, problem=f"pip could not be tried: {error}")
    if visitors:
        problem = "pip asked an address that nobody signs for: the plugin does not start."
    elif NOBODY_SIGNS not in done.stderr:
        problem = done.stderr.strip() or f"pip ended with exit code {done.returncode}."
    else:
        return Status(enabled=True, works=True)
    return Status(enabled=True, problem=problem)


def _check_pip(environment: Environment) -> None:
    if environment.pip is None:
        raise UsageError(
            f"there is no pip in the environment of {environment.python}, so there is nothing to "
            "verify there",
            remedy="securepip installs into it as it is: securepip install --python "
            f"{environment.python} …",
        )
    if environment.pip < _OLDEST_PIP:
        raise UsageError(
            f"the plugin needs pip {_OLDEST_PIP} or later, and {environment.python} has pip "
            f"{environment.pip}",
            remedy=f"  securepip install --python {environment.python} -U pip",
        )


def _remedy(environment: Environment) -> str:
    files = " ".join(str(path) for path in environment.files)
    return (
        f"  Repair it:      securepip plugin enable --python {environment.python}\n"
        f"  Switch it off:  securepip plugin disable --python {environment.python}\n"
        f"  or, where securepip is gone, delete {files}"
    )


@contextmanager
def _changing(environment: Environment) -> Iterator[None]:
    """One change at a time, and words for what the system refuses."""
    with FileLock(data_dir() / "plugin.lock", timeout=60, mode=0o600):
        try:
            for left in environment.folder.glob(".securepip-*"):  # by a run that was killed
                left.unlink(missing_ok=True)
            yield
        except OSError as error:
            if error.errno not in _OF_THE_ENVIRONMENT and explained(error):
                raise
            raise UsageError(
                f"the environment in {environment.folder} cannot be changed: {error.strerror}",
                remedy="Run the command as the one who owns it." if error.errno in _DENIED else "",
            ) from None


@contextmanager
def _listening() -> Iterator[tuple[int, list[object]]]:
    """A port that only counts who connects."""
    visitors: list[object] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def count() -> None:
            with suppress(OSError):
                while True:
                    connection, address = server.accept()
                    visitors.append(address)
                    connection.close()

        thread = threading.Thread(target=count, daemon=True)
        thread.start()
        yield server.getsockname()[1], visitors
        server.shutdown(socket.SHUT_RDWR)
        thread.join()
