"""Fixtures for all tests: a repository, an empty environment, and machines that use them."""

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

# Hypothesis limits the number of examples and not their time, because the machine may be busy.
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
    """Give each test its own data folder: a machine refuses older copies of what it has seen.

    The user's own folders are not touched.
    """
    folder = tmp_path_factory.getbasetemp()
    monkeypatch.setenv("SECUREPIP_DATA_DIR", str(folder / f"securepip-data-{next(_NUMBERS)}"))
    monkeypatch.setenv("SECUREPIP_CACHE_DIR", str(folder / "securepip-cache"))


@pytest.fixture(autouse=True)
def new_process(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Reset the state of this process that a command leaves behind.

    The notice about a slow server is off, because tests compare the output of commands.
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


@pytest.fixture(autouse=True)
def no_flush_of_all_disks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Do not flush all disks: that takes seconds, and matters only in a power failure."""
    monkeypatch.setattr(os, "sync", lambda: None)


@pytest.fixture
def no_configuration(monkeypatch: pytest.MonkeyPatch) -> None:
    """Run pip without a configuration: that of this machine may have constraints."""
    for name in list(os.environ):
        if name.startswith("PIP_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)


@pytest.fixture(scope="session")
def moto() -> Iterator[str]:
    """The URL of an object store. If none can be started, the test is skipped with the reason."""
    with moto_server() as url:
        yield url


@pytest.fixture(scope="session")
def empty_environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A virtual environment without pip. Tests copy it and do not change it."""
    folder = tmp_path_factory.mktemp("environment") / "empty"
    venv.create(folder, symlinks=True)
    return folder


@pytest.fixture(scope="session")
def shared_repository(tmp_path_factory: pytest.TempPathFactory) -> MadeRepository:
    """``app`` 1.0, ``app`` 2.0, which requires ``lib``, ``lib`` 1.0, and ``other`` 1.0.

    Tests do not change it.
    """
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
    """A copy of the shared repository and of its keys, which a test may change."""
    return copy_repository(shared_repository, tmp_path / "repository")


@pytest.fixture
def hostile(shared_repository: MadeRepository) -> Iterator[HostileServer]:
    """A server for the shared repository, which changes answers as it is told."""
    with serve_hostile(shared_repository.folder) as server:
        yield server


@pytest.fixture
def machine(tmp_path: Path, empty_environment: Path) -> Machine:
    """A user's machine, which trusts no repository yet."""
    return Machine(tmp_path, empty_environment)


@pytest.fixture
def client(machine: Machine, shared_repository: MadeRepository, hostile: HostileServer) -> Machine:
    """A user's machine that trusts the shared repository, served by ``hostile``.

    It has only the root: it asks for all other metadata again.
    """
    machine.trust(shared_repository, hostile.url)
    shutil.rmtree(machine.folder / "data" / "trust" / "made" / "metadata")
    return machine
