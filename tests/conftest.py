"""One repository and one empty environment for a whole run, and copies of them for each test."""

from __future__ import annotations

import itertools
import logging
import os
import shutil
import signal
import venv
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from securepip.cli.console import lines
from securepip.transport import watch
from securepip.updater import mirrors
from tests.support import begun
from tests.support.hostile import HostileServer, serve_hostile
from tests.support.machine import Machine
from tests.support.repositories import MadeRepository, copy_repository, make_repository
from tests.support.store import moto_server
from tests.support.wheels import make_wheel

pytest_plugins = ["tests.attacks.marks", "tests.support.unchanged"]

# A loaded machine is no defect, nor is an unlucky draw: examples are counted, not timed.
settings.register_profile(
    "securepip",
    deadline=None,
    max_examples=50,
    suppress_health_check=list(HealthCheck),
)
settings.load_profile("securepip")


_NUMBERS = itertools.count()


@pytest.fixture(autouse=True)
def own_folders(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep what is run in this process out of the user's own folders.

    Each test is a machine of its own: one that has seen a repository refuses older copies of it.
    """
    folder = tmp_path_factory.getbasetemp()
    monkeypatch.setenv("SECUREPIP_DATA_DIR", str(folder / f"securepip-data-{next(_NUMBERS)}"))
    monkeypatch.setenv("SECUREPIP_CACHE_DIR", str(folder / "securepip-cache"))


@pytest.fixture(autouse=True)
def new_process(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Begin as a new process does, and on a machine that is never slow.

    What an earlier test has begun and found out is forgotten, and how a command that ran in this
    process says things. Nobody is told of a server that takes longer than a person expects: the
    words of a command are compared.
    """
    begun.forget()
    monkeypatch.setattr(mirrors, "_passed_over", {})
    monkeypatch.setattr(watch, "NOTICE_SECONDS", 600.0)
    said = {"_verbosity": 0, "_colour": True, "_log_file": None, "_stdout_is_free": False}
    for name, value in said.items():
        monkeypatch.setattr(lines, name, value)
    ended_by = signal.getsignal(signal.SIGTERM)
    yield
    log = logging.getLogger("securepip")
    log.handlers, log.propagate = [], True
    log.setLevel(logging.NOTSET)
    signal.signal(signal.SIGTERM, ended_by)


@pytest.fixture
def no_configuration(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pip without any configuration: the machine that tests run on may have constraints."""
    for name in list(os.environ):
        if name.startswith("PIP_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)


@pytest.fixture(scope="session")
def moto() -> Iterator[str]:
    """The URL of an object store; where none can be started, tests are skipped with the reason."""
    with moto_server() as url:
        yield url


@pytest.fixture(scope="session")
def empty_environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A virtual environment with nothing in it, not even pip. To be copied, not changed."""
    folder = tmp_path_factory.mktemp("environment") / "empty"
    venv.create(folder, symlinks=True)
    return folder


@pytest.fixture(scope="session")
def shared_repository(tmp_path_factory: pytest.TempPathFactory) -> MadeRepository:
    """``app`` 1.0 and 2.0 (2.0 requires ``lib``), ``lib`` 1.0, ``other`` 1.0. Not to be changed."""
    folder = tmp_path_factory.mktemp("shared")
    built = folder / "built"
    return make_repository(
        folder / "repository",
        make_wheel(built, "app", "1.0"),
        make_wheel(built, "app", "2.0", requires=["lib"]),
        make_wheel(built, "lib", "1.0"),
        make_wheel(built, "other", "1.0"),
    )


@pytest.fixture
def made(shared_repository: MadeRepository, tmp_path: Path) -> MadeRepository:
    """A copy of the shared repository and of its keys, to be changed."""
    return copy_repository(shared_repository, tmp_path / "repository")


@pytest.fixture
def hostile(shared_repository: MadeRepository) -> Iterator[HostileServer]:
    """Serves the shared repository, changed as told."""
    with serve_hostile(shared_repository.folder) as server:
        yield server


@pytest.fixture
def machine(tmp_path: Path, empty_environment: Path) -> Machine:
    """A user's machine, which believes nobody yet."""
    return Machine(tmp_path, empty_environment)


@pytest.fixture
def client(machine: Machine, shared_repository: MadeRepository, hostile: HostileServer) -> Machine:
    """A user's machine that believes the shared repository, served by ``hostile``.

    It has kept nothing of what it saw when it was told to: it asks for everything.
    """
    machine.trust(shared_repository, hostile.url)
    shutil.rmtree(machine.folder / "data" / "trust" / "made" / "metadata")
    return machine
