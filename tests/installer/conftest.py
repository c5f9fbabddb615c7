"""Environments to install into, verified wheels to hand to pip, and plain pip for comparison."""

from __future__ import annotations

import marshal
import os
import shutil
import signal
import stat
import subprocess
import sys
import textwrap
import time
import venv
from collections.abc import Callable, Mapping, Sequence
from importlib.util import MAGIC_NUMBER
from pathlib import Path
from types import CodeType

import pytest
from packaging.utils import canonicalize_name, parse_sdist_filename, parse_wheel_filename

from securepip.formats.core_metadata import read_core_metadata
from securepip.formats.digests import sha256_of
from securepip.formats.page import PageFile
from securepip.index.types import _SEAL, VerifiedFile
from securepip.installer import HandOff
from securepip.interpreter.process import clean_environment, pip_runner
from securepip.resolver.plan import PlannedFile

Tree = dict[str, object]


def verified(path: Path) -> VerifiedFile:
    """A verified wheel or sdist, as the index makes it."""
    is_wheel = path.suffix == ".whl"
    project, version, *_ = (parse_wheel_filename if is_wheel else parse_sdist_filename)(path.name)
    data = path.read_bytes()
    return VerifiedFile(
        project,
        version,
        path.name,
        path,
        sha256_of(data),
        len(data),
        repository="example",
        url=f"https://packages.example.org/{path.name}",
        seal=_SEAL,
    )


def hand_off(
    path: Path,
    *,
    requested: bool = True,
    extras: tuple[str, ...] = (),
    core_metadata: bytes | None = None,
) -> HandOff:
    """A verified file of a plan, from a wheel on disk."""
    wheel = verified(path)
    if core_metadata is None:
        core_metadata = read_core_metadata(path)
    page_file = PageFile(path.name, wheel.url, wheel.sha256, wheel.size)
    planned = PlannedFile(
        wheel.project,
        wheel.version,
        page_file,
        requested,
        frozenset(canonicalize_name(extra) for extra in extras),
        (),
        core_metadata,
    )
    return HandOff(planned, wheel)


def run_pip(
    python: Path, *arguments: str | Path, check: bool = True, **variables: str
) -> subprocess.CompletedProcess[str]:
    """Run plain pip for an environment, which needs no pip of its own."""
    command = [str(python), str(pip_runner()), "--disable-pip-version-check", *map(str, arguments)]
    return subprocess.run(
        command,
        env={**clean_environment(), **variables},
        capture_output=True,
        text=True,
        check=check,
    )


def snapshot(folder: Path, *, same_paths: bool = True) -> Tree:
    """The mode and contents of each file and folder below ``folder``.

    Byte code is compared by its header without the time and by its code object, because the same
    source can be marshalled in more than one way.
    """
    found: Tree = {}
    for path in sorted(folder.rglob("*")):
        status = path.lstat()
        name, mode = path.relative_to(folder).as_posix(), stat.filemode(status.st_mode)
        if not path.is_file() or path.is_symlink():
            found[name] = mode
            continue
        data = path.read_bytes()
        if path.suffix == ".pyc" and data.startswith(MAGIC_NUMBER):
            code = marshal.loads(data[16:])  # noqa: S302 - compiled here, from a test's source
            assert isinstance(code, CodeType)
            found[name] = (mode, data[:8], data[12:16], code, same_paths and code.co_filename)
        else:
            found[name] = (mode, data)
    return found


@pytest.fixture
def new_environment(tmp_path: Path) -> Callable[[], Path]:
    """Makes an empty environment, always at the same path, and returns its interpreter."""

    def make() -> Path:
        folder = tmp_path / "env"
        if folder.exists():
            shutil.rmtree(folder)
        venv.create(folder, symlinks=True)
        return folder / "bin" / "python"

    return make


@pytest.fixture
def python(new_environment: Callable[[], Path]) -> Path:
    """The interpreter of an empty environment."""
    return new_environment()


def site_packages(python: Path) -> Path:
    """The folder of an environment's packages."""
    (folder,) = (python.parent.parent / "lib").glob("python*/site-packages")
    return folder


def installed(python: Path) -> Mapping[str, str]:
    """The installed versions by name, from ``pip freeze``."""
    lines = run_pip(python, "freeze", "--all").stdout.split()
    return dict(line.split("==") for line in lines)


@pytest.fixture(autouse=True)
def _temporary_files_are_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", os.fspath(folder))
    monkeypatch.setattr("tempfile.tempdir", None)


# The smallest of the wheels that come with this Python: pip takes time for the comparison.
BUNDLED = sorted(
    Path(sys.base_prefix).glob("lib/python*/ensurepip/_bundled/*.whl"),
    key=lambda path: path.stat().st_size,
)[:1]


def interrupted_install(wheels: Sequence[Path], python: Path, *, once_there: Sequence[Path]) -> int:
    """Interrupt an install as soon as these paths exist, and return its exit code."""
    program = textwrap.dedent(f"""
        from pathlib import Path
        from securepip.installer.handoff import install
        from tests.installer.conftest import hand_off
        wheels = {list(map(str, wheels))!r}
        install([hand_off(Path(wheel)) for wheel in wheels], Path({str(python)!r}))
    """)
    process = subprocess.Popen(
        [sys.executable, "-c", program],
        cwd=Path(__file__).parents[2],
        env={**os.environ, "PYTHONPATH": "src"},
        stderr=subprocess.DEVNULL,
        # A shell makes its background jobs ignore interrupts, and so perhaps the tests.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    deadline = time.monotonic() + 60
    while not all(each.exists() for each in once_there) and time.monotonic() < deadline:
        time.sleep(0.005)
    process.send_signal(signal.SIGINT)
    return process.wait(60)
