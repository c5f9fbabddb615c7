"""Environments that have a pip, plain or with the plugin, and machines that run it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import pip
import pytest

from tests.support.builds import make_built, make_maker
from tests.support.hostile import HostileServer, serve_hostile
from tests.support.machine import Finished, Machine
from tests.support.repositories import MadeRepository

PYTHON = Path(sys.executable)


def run(
    machine: Machine,
    *command: str | Path,
    cwd: Path | None = None,
    variables: Mapping[str, str] | None = None,
) -> Finished:
    """Run a program with the machine's variables and further ones."""
    done = subprocess.run(
        [str(word) for word in command],
        cwd=cwd or machine.folder,
        env={**machine.variables, "PIP_DISABLE_PIP_VERSION_CHECK": "1", **(variables or {})},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    return Finished(done.returncode, done.stdout, done.stderr)


def run_pip(machine: Machine, *words: str | Path, **variables: str) -> Finished:
    """Run the environment's own pip, as users do."""
    return run(machine, machine.python, "-m", "pip", *words, variables=variables)


def assert_refused(done: Finished, *reasons: str) -> None:
    """Check that pip failed, gave the reasons, and did nothing."""
    assert done.code == 1, done
    for reason in reasons:
        assert reason in done.err, done.err
    assert "Traceback" not in done.err, done.err
    assert "Successfully" not in done.out
    assert "Saved" not in done.out


def put_pip(environment: Path, packages: Sequence[Path]) -> None:
    """Give an environment a pip, by links to its folders."""
    (folder,) = (environment / "lib").glob("python*/site-packages")
    for package in packages:
        (folder / package.name).symlink_to(package)


def own_pip(machine: Machine) -> Path:
    """Replace the link to pip's folder by a copy, which a test may change."""
    link = machine.site_packages / "pip"
    original = link.resolve()
    link.unlink()
    return Path(shutil.copytree(original, link))


@pytest.fixture(scope="session")
def pip_environment(empty_environment: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A virtual environment with securepip's own pip. Tests copy it and do not change it."""
    folder = tmp_path_factory.mktemp("pip")
    shutil.copytree(empty_environment, folder / "environment", symlinks=True)
    package = Path(pip.__file__).parent
    copies = [
        Path(shutil.copytree(one, folder / one.name))
        for one in (package, package.with_name(f"pip-{pip.__version__}.dist-info"))
    ]
    put_pip(folder / "environment", copies)
    return folder / "environment"


@pytest.fixture(scope="session")
def enabled_environment(pip_environment: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same environment with the plugin. Tests copy it and do not change it."""
    machine = Machine(tmp_path_factory.mktemp("enabled"), pip_environment)
    enabled = machine.run("plugin", "enable", "--python", machine.environment)
    assert enabled.code == 0, enabled.err
    return machine.environment


OLD_PIPS = ("23.0", "23.3.2", "24.3.1", "25.3", "26.0")


@pytest.fixture(scope="session")
def pip_of(request: pytest.FixtureRequest) -> dict[str, Path]:
    """The unpacked folders of old pips, by version, fetched once from this machine's index."""
    kept = request.config.cache.mkdir("pips") if request.config.cache else Path()
    found = {}
    for version in OLD_PIPS:
        found[version] = kept / version
        if not found[version].exists():
            fetched = kept / f"new-{version}-{os.getpid()}"
            words = ("download", "-q", "--no-deps", "--only-binary=:all:", f"pip=={version}")
            subprocess.run([PYTHON, "-m", "pip", *words, "-d", fetched], check=True)
            (wheel,) = fetched.glob("*.whl")
            with zipfile.ZipFile(wheel) as archive:
                archive.extractall(fetched / "unpacked")
            with suppress(OSError):  # another worker was faster
                (fetched / "unpacked").rename(found[version])
            shutil.rmtree(fetched)
    return found


@pytest.fixture
def plain(tmp_path: Path, pip_environment: Path) -> Machine:
    """A machine whose pip does not have the plugin."""
    (tmp_path / "plain").mkdir()
    return Machine(tmp_path / "plain", pip_environment)


@pytest.fixture
def plugged(tmp_path: Path, enabled_environment: Path) -> Machine:
    """A machine whose pip has the plugin, and which trusts no repository yet."""
    (tmp_path / "plugged").mkdir()
    return Machine(tmp_path / "plugged", enabled_environment)


@pytest.fixture
def trusting(
    plugged: Machine, shared_repository: MadeRepository, hostile: HostileServer
) -> Machine:
    """A machine with the plugin that trusts the shared repository, served by ``hostile``."""
    plugged.trust(shared_repository, hostile.url)
    shutil.rmtree(plugged.folder / "data" / "trust" / "made" / "metadata")
    return plugged


@pytest.fixture
def served(made: MadeRepository, tmp_path: Path) -> Iterator[HostileServer]:
    """A server for a repository with the sdist ``built``, whose build backend is ``maker``."""
    made.add(make_built(tmp_path / "honest"), make_maker(tmp_path / "honest"))
    with serve_hostile(made.folder) as server:
        yield server


@pytest.fixture
def trusting_built(plugged: Machine, made: MadeRepository, served: HostileServer) -> Machine:
    """A machine with the plugin that trusts that repository and has only its root."""
    plugged.trust(made, served.url)
    shutil.rmtree(plugged.folder / "data" / "trust" / "made" / "metadata")
    return plugged
