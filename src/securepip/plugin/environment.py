"""Enables and disables the plugin in an environment, and tries whether it works.

Rule: the environment gets four files with unique names, and no distribution. pip never meets half
of a plugin: the file that starts it is written last and removed first.
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
# Its name differs from that of the `.pth` file: PEP 829 ignores the `.pth` file if there is a
# `.start` file of the same name.
_START = "securepip-plugin-start.start"
_MODULE = "_securepip_plugin_start.py"
_OLDEST_PIP = Version("23.0")
_TRY_SECONDS = 120
_DENIED = (errno.EACCES, errno.EPERM, errno.EROFS)
_OF_THE_ENVIRONMENT = (*_DENIED, errno.EISDIR, errno.ENOTDIR, errno.ELOOP)
"""The errors that the environment causes. For others, this machine may be the reason."""
_FOR_ALL = 0o644
"""Every user of the environment must be able to read the plugin, or pip would run without it."""
# Isolated (-I), so that nothing in the caller's folder or variables is imported. That also excludes
# the user's site-packages, where securepip may be, so its path is added.
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
"""Descriptions of what the plugin cannot cover."""


@dataclass(frozen=True)
class Environment:
    """An environment for the plugin.

    Attributes:
        python: Its interpreter.
        folder: The folder of its packages and start-up files.
        pip: The version of its pip; None if it has none.
    """

    python: Path
    folder: Path
    pip: Version | None

    @property
    def files(self) -> tuple[Path, ...]:
        """The files of the plugin here. Those that start it come first."""
        names = (_LINE, _START, _MODULE, _SHIM)
        return tuple(self.folder / name for name in names)

    @property
    def is_enabled(self) -> bool:
        """Whether the plugin starts here."""
        return (self.folder / _LINE).exists() or (self.folder / _START).exists()


@dataclass(frozen=True)
class Status:
    """The state of the plugin in an environment.

    Attributes:
        enabled: Whether it is there.
        works: Whether pip has refused an index that nobody signs for, as it should.
        problem: What pip said or did instead; "" if the plugin works.
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
    """The environment of an interpreter that was probed already."""
    pip = target.installed.get(canonicalize_name("pip"))
    # Links are not resolved: an interpreter finds its virtual environment by the path of the link.
    return Environment(target.python.absolute(), target.purelib, pip.version if pip else None)


def enable(environment: Environment) -> Status:
    """Put the plugin into an environment, or replace it there, and try it.

    Raises:
        UsageError: The environment has no pip or one that is too old, or cannot be changed.
        SecurepipError: pip does not work with the plugin, which was removed again.
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
    """The contents of the plugin's files. Those that start it come last."""
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
    """Remove all files of the plugin from an environment.

    Raises:
        UsageError: The environment cannot be changed.
    """
    with _changing(environment):
        for path in environment.files:
            path.unlink(missing_ok=True)
        cache = environment.folder / "__pycache__"
        for path in cache.glob(f"{Path(_MODULE).stem}.*"):
            path.unlink(missing_ok=True)
        with suppress(OSError):  # it holds byte code of other modules
            cache.rmdir()


def status(environment: Environment) -> Status:
    """Try whether the plugin makes pip refuse an index that nobody signs for."""
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
            tried = subprocess.run(
                command, env=variables, cwd=empty, stdin=subprocess.DEVNULL, capture_output=True,
                text=True, errors="replace", timeout=_TRY_SECONDS, check=False,
            )  # fmt: skip
        except (OSError, subprocess.TimeoutExpired) as error:
            return Status(enabled=True, problem=f"pip could not be tried: {error}")
    if visitors:
        problem = "pip asked an address that nobody signs for: the plugin does not start."
    elif NOBODY_SIGNS not in tried.stderr:
        problem = tried.stderr.strip() or f"pip ended with exit code {tried.returncode}."
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
    """Keep other processes from changing environments, and explain errors of the system."""
    with FileLock(data_dir() / "plugin.lock", timeout=60, mode=0o600):
        try:
            for left in environment.folder.glob(".securepip-*"):  # left by a killed run
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
    """Listen on a port, and note every connection; the port, and the list of connections."""
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
