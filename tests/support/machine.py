"""A user's machine: a home with its own state and cache, and an environment to install into.

machine = Machine(tmp_path, empty_environment)
machine.trust(made, url)
machine.run("install", "app").code
"""

from __future__ import annotations

import importlib.metadata
import io
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from contextlib import redirect_stderr, redirect_stdout, suppress
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

import pip
import pytest
from pip._internal.operations.freeze import freeze

from securepip.cli import main
from tests.support.begun import as_a_process
from tests.support.repositories import MadeRepository

_PIP = Path(pip.__file__).with_name("__pip-runner__.py")
_SOURCES = Path(__file__).parents[2] / "src"
_PATH = os.pathsep.join(["/usr/local/bin", "/usr/bin", "/bin"])


@dataclass(frozen=True)
class Finished:
    """A command that has ended.

    Attributes:
        code: Its exit code.
        out: Its standard output.
        err: Its standard error.
    """

    code: int
    out: str
    err: str


class Machine:
    """A machine, all of it in ``folder``: the settings of this one have no influence.

    Attributes:
        environment: The virtual environment to install into.
        variables: The environment variables of each command.
        before: The beginning of each process's command line: a command that runs another one.
    """

    def __init__(self, folder: Path, empty_environment: Path) -> None:
        self.folder = folder
        self.before: tuple[str, ...] = ()
        self.environment = folder / "environment"
        shutil.copytree(empty_environment, self.environment, symlinks=True)
        home = folder / "home"
        home.mkdir()
        inherited = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("PIP_", "SECUREPIP_", "XDG_", "PYTHON"))
            and not name.lower().endswith("_proxy")
        }
        self.variables = {
            **inherited,
            "HOME": str(home),
            "SECUREPIP_DATA_DIR": str(folder / "data"),
            "SECUREPIP_CACHE_DIR": str(folder / "cache"),
            "PIP_CONFIG_FILE": os.devnull,
            # Only the system's programs: securepip asks each Python of the PATH whether its pip
            # verifies, and pip asks rustc for its version.
            "PATH": _PATH,
            "PIP_RETRIES": "0",
            "PIP_TIMEOUT": "60",
        }

    @property
    def python(self) -> Path:
        """The interpreter of the environment."""
        return self.environment / "bin" / "python"

    def trust(self, made: MadeRepository, location: str, name: str = "made") -> None:
        """Trust a repository that is served at ``location``."""
        done = self.run("trust", "add", name, location, "--root-sha256", made.root_sha256)
        assert done.code == 0, done.err

    def install(self, *words: str | Path, **variables: str) -> Finished:
        """Run ``securepip install --python ENVIRONMENT …``."""
        return self.run("install", "--python", self.environment, *words, **variables)

    def run(self, *words: str | Path, **variables: str) -> Finished:
        """Run securepip in this process, which is faster than to start one."""
        out, err = io.StringIO(), io.StringIO()
        with (
            mock.patch.dict(os.environ, {**self.variables, **variables}, clear=True),
            redirect_stdout(out),
            redirect_stderr(err),
            as_a_process(),
        ):
            try:
                code = main([str(word) for word in words])
            except SystemExit as ended:  # argparse's end, for help and for a wrong option
                code = ended.code if isinstance(ended.code, int) else 1
        return Finished(code, out.getvalue(), err.getvalue())

    def start(self, *words: str | Path, **variables: str) -> subprocess.Popen[str]:
        """Start securepip in a new process."""
        return subprocess.Popen(
            [*self.before, sys.executable, "-m", "securepip", *map(str, words)],
            env={**self.variables, "PYTHONPATH": str(_SOURCES), **variables},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def process(self, *words: str | Path, **variables: str) -> Finished:
        """Run securepip in a new process."""
        with self.start(*words, **variables) as process:
            out, err = process.communicate(timeout=120)
        return Finished(process.returncode, out, err)

    def pip(self, *words: str | Path, **variables: str) -> Finished:
        """Run plain pip for the environment, which needs no pip of its own."""
        return self.command(self.python, _PIP, *words, **variables)

    def command(self, *words: str | Path, **variables: str) -> Finished:
        """Run any program with the machine's variables."""
        done = subprocess.run(
            [str(word) for word in words],
            env={**self.variables, "PIP_DISABLE_PIP_VERSION_CHECK": "1", **variables},
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        return Finished(done.returncode, done.stdout, done.stderr)

    def pip_install(self, index_url: str, *words: str | Path) -> Finished:
        """Install with plain pip from an index."""
        options = ("--index-url", index_url, "--no-cache-dir", "--no-compile")
        return self.pip("install", *options, *words)

    def freeze(self) -> list[str]:
        """What is installed, as ``pip freeze --all`` prints it, by pip's code in this process."""
        return "\n".join(freeze(paths=[str(self.site_packages)])).split()

    def remove(self, *names: str) -> None:
        """Uninstall distributions, as ``pip uninstall`` does, in this process."""
        for found in importlib.metadata.distributions(path=[str(self.site_packages)]):
            if found.metadata["Name"] in names:
                for file in found.files or ():
                    path = Path(str(found.locate_file(file)))
                    path.unlink(missing_ok=True)
                    with suppress(OSError):  # not empty yet, or removed already
                        path.parent.rmdir()

    def installed(self) -> Mapping[str, bytes]:
        """The bytes of each file of the environment."""
        return {
            path.relative_to(self.environment).as_posix(): path.read_bytes()
            for path in sorted(self.environment.rglob("*"))
            if path.is_file() and not path.is_symlink()
        }

    @property
    def site_packages(self) -> Path:
        """The folder of the environment's packages."""
        (folder,) = (self.environment / "lib").glob("python*/site-packages")
        return folder

    def version_of(self, package: str) -> str | None:
        """The ``VERSION`` of an installed test package, read without importing it."""
        module = self.site_packages / package / "__init__.py"
        return module.read_text().split("'")[1] if module.exists() else None


def like_anybody() -> tuple[str, ...]:
    """A command that runs another one so that permissions bind it, even if root runs the tests.

    Skips the test if root runs the tests and has no such command.
    """
    if os.geteuid():
        return ()
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        pytest.skip("no permission stops the administrator, and setpriv is not here")
    return (setpriv, "--inh-caps=-all", "--bounding-set=-dac_override,-dac_read_search")
