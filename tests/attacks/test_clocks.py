"""A wrong clock: to a fast one, good metadata looks expired; to a slow one, old looks good."""

from __future__ import annotations

import shutil
from pathlib import Path

from tests.attacks.clock import clock_set_by
from tests.attacks.refusals import assert_refused
from tests.support.hostile import serve_hostile
from tests.support.machine import Machine
from tests.support.repositories import MadeRepository
from tests.support.wheels import make_wheel


def test_a_clock_that_is_set_forth_refuses_and_says_that_it_may_be_the_clock(
    client: Machine,
) -> None:
    with clock_set_by(days=20):
        done = client.install("app")
    assert done.code == 3
    assert "clock" in done.err
    assert client.version_of("app") is None
    assert client.install("app").code == 0, "nothing is left behind when the clock is right again"


def test_a_clock_that_is_set_back_brings_back_no_state_that_was_overtaken(
    machine: Machine, made: MadeRepository, tmp_path: Path
) -> None:
    old = tmp_path / "old"
    shutil.copytree(made.folder, old)
    made.add(make_wheel(tmp_path / "built", "app", "3.0"))
    with serve_hostile(made.folder) as server:
        machine.trust(made, server.url)
        assert "app-3.0" in machine.install("--dry-run", "app").out
        server.folder = old
        with clock_set_by(days=-30):
            assert_refused(machine.install("app"), server, r"metadata/timestamp\.json")
        assert machine.version_of("app") is None
        server.folder = made.folder
        with clock_set_by(days=-30):
            assert machine.install("app").code == 0
    assert machine.version_of("app") == "3.0"
