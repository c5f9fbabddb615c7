"""A server that never ends an answer: it holds up who asks for what it has, and nobody else.

Whoever is held up as well waits until a connection of the test is given up.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from packaging.utils import NormalizedName
from tuf.api.metadata import Metadata, Targets

from securepip.formats.layout import page_target
from securepip.gateway import tasks
from securepip.trust import TrustStore
from tests.gateway.conftest import Reply, Running, run_gateway
from tests.support.hostile import HostileServer, serve_hostile
from tests.support.repositories import MadeRepository, make_repository
from tests.support.wheels import make_wheel

PROJECTS = [f"project{number}" for number in range(40)]
_PATIENCE = 0.3


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> MadeRepository:
    """A repository of forty projects in several bins."""
    folder = tmp_path_factory.mktemp("many")
    wheels = [make_wheel(folder, name, "1.0") for name in PROJECTS]
    return make_repository(folder / "repository", *wheels, expected_files=2_000)


@pytest.fixture
def server(many: MadeRepository) -> Iterator[HostileServer]:
    """A server for that repository, which changes answers as it is told."""
    with serve_hostile(many.folder) as server:
        yield server


@pytest.fixture
def running(
    tmp_path: Path, many: MadeRepository, server: HostileServer, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Running]:
    """A gateway that trusts it, with short time limits."""
    monkeypatch.setattr(tasks, "PATIENCE_SECONDS", _PATIENCE)
    monkeypatch.setattr("securepip.gateway.answers.PATIENCE_SECONDS", _PATIENCE)
    trust = TrustStore(tmp_path / "gateway" / "trust")
    trust.add("many", server.url, many.root.read_bytes())
    with run_gateway(tmp_path / "gateway") as gateway:
        yield gateway


def bin_of(made: MadeRepository, project: str) -> str:
    """The name of the bin that lists a project's page."""
    path = next((made.folder / "metadata").glob("*.bins.json"))
    delegations = Metadata[Targets].from_file(str(path)).signed.delegations
    assert delegations is not None
    assert delegations.succinct_roles is not None
    return delegations.succinct_roles.get_role_for_target(page_target(NormalizedName(project)))


class Dripping:
    """A body of which a byte comes now and then, until the test ends it.

    Attributes:
        begun: The number of clients that wait for one.
    """

    def __init__(self) -> None:
        self.begun = 0
        self._let_go = threading.Event()

    def __call__(self, data: bytes) -> Iterator[bytes]:
        self.begun += 1
        yield b" "
        while not self._let_go.wait(0.1):
            yield b" "

    def end(self) -> None:
        """End the bodies."""
        self._let_go.set()

    def wait_for(self, count: int = 1) -> None:
        """Wait until so many clients wait for one."""
        deadline = time.monotonic() + 60
        while self.begun < count:
            assert time.monotonic() < deadline
            time.sleep(0.01)


@pytest.fixture
def dripping() -> Iterator[Dripping]:
    body = Dripping()
    yield body
    body.end()


def page(running: Running, project: str) -> Reply:
    return running.get(f"simple/{project}/", connection=running.connect())


def test_a_bin_that_never_ends_holds_up_its_own_projects_alone(
    running: Running, server: HostileServer, many: MadeRepository, dripping: Dripping
) -> None:
    stuck, *others = PROJECTS
    held = bin_of(many, stuck)
    free = [one for one in others if bin_of(many, one) != held]
    assert page(running, free[0]).status == 200
    server.alter(rf"metadata/\d+\.{held}\.json", dripping)
    with ThreadPoolExecutor(1) as client:
        waiting = client.submit(page, running, stuck)
        dripping.wait_for()
        for project in free[1:4]:
            assert page(running, project).status == 200
        assert not waiting.done()
        server.honest()
        dripping.end()
        waiting.result(60)
    assert page(running, stuck).status == 200


@pytest.mark.parametrize("kept", ["page", "file"])
def test_many_answers_that_never_end_leave_room_for_others(
    running: Running, server: HostileServer, dripping: Dripping, kept: str
) -> None:
    stuck, free = PROJECTS[:18], PROJECTS[20:22]

    def asked(name: str) -> Reply:
        if kept == "page":
            return page(running, name)
        return running.get(f"files/{name}/{name}-1.0-py3-none-any.whl")

    for name in stuck:
        server.alter(rf"(simple|packages)/{name}/.*(json|whl)", dripping)
    if kept == "file":
        server.honest()
        for name in [*stuck, *free]:
            assert page(running, name).status == 200
        for name in stuck:
            server.alter(rf"packages/{name}/.*", dripping)
    with ThreadPoolExecutor(len(stuck)) as clients:
        waiting = [clients.submit(asked, name) for name in stuck]
        dripping.wait_for(16)
        for name in free:
            assert asked(name).status == 200
        server.honest()
        dripping.end()
        for one in waiting:
            one.result(60)
    for name in stuck[:2]:
        assert asked(name).status == 200


def test_a_refresh_that_never_ends_holds_up_nothing_that_is_known(
    tmp_path: Path,
    many: MadeRepository,
    server: HostileServer,
    monkeypatch: pytest.MonkeyPatch,
    dripping: Dripping,
) -> None:
    monkeypatch.setattr("securepip.gateway.answers.PATIENCE_SECONDS", _PATIENCE)
    trust = TrustStore(tmp_path / "trust")
    trust.add("many", server.url, many.root.read_bytes())
    with run_gateway(tmp_path, refresh_seconds=0.0) as running:
        known, unknown = PROJECTS[:2]
        assert page(running, known).status == 200
        server.alter(r"metadata/timestamp\.json", dripping)
        with ThreadPoolExecutor(1) as client:
            waiting = client.submit(page, running, unknown)
            dripping.wait_for()
            assert page(running, known).status == 200
            file = f"files/{known}/{known}-1.0-py3-none-any.whl"
            assert running.get(file).status == 200
            assert not waiting.done()
            server.honest()
            dripping.end()
            waiting.result(60)
        assert page(running, unknown).status == 200
