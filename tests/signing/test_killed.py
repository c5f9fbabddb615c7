"""``repo rotate``, ``recover`` and ``gc`` are killed at random moments."""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from securepip.signing.offline.recover import OfflineKeys, recover
from securepip.signing.offline.rotate import NewKeys, rotate
from securepip.signing.publish.accounted import check_own
from securepip.signing.publish.gc import sweep
from securepip.signing.repository.repository import Repository
from tests.signing.clients import fetch_everything, read_plainly
from tests.signing.killing import kill_after
from tests.support.repositories import MadeRepository, make_repository
from tests.support.wheels import make_wheel

TIMES = 50 if os.environ.get("SECUREPIP_TEST_EVERY_KILL") else 3
"""How often each command is killed."""

Work = Callable[[Repository, MadeRepository], object]
WORK: dict[str, Work] = {
    "rotate-online": lambda opened, own: rotate(opened, "online", NewKeys(own.online_keys)),
    "rotate-root": lambda opened, own: rotate(opened, "root", NewKeys(own.offline_keys)),
    "rotate-targets": lambda opened, own: rotate(opened, "targets", NewKeys(own.offline_keys)),
    "recover": lambda opened, own: recover(
        opened,
        own.folder.with_name("good"),
        online=NewKeys(own.online_keys),
        offline=OfflineKeys(NewKeys(own.offline_keys)),
        confirm=lambda findings: True,
    ),
    "gc": lambda opened, own: sweep(opened, timedelta(seconds=-1)),
}


@pytest.fixture
def own(tmp_path: Path) -> MadeRepository:
    """A repository of several versions, and a copy of it in ``good``."""
    made = make_repository(tmp_path / "own", make_wheel(tmp_path, "app", "1.0"), expected_files=1)
    for minor in range(1, 6):
        made.add(make_wheel(tmp_path, "app", f"1.{minor}"))
    made.repository.ledger.close()
    for name in ("metadata", "simple", "packages"):
        shutil.copytree(made.folder / name, tmp_path / "good" / name)
    return made


@pytest.mark.parametrize("work", WORK)
def test_killed_at_random_moments_the_repository_is_valid_and_the_command_can_be_run_again(
    own: MadeRepository, tmp_path: Path, work: str
) -> None:
    client, plain, moment = tmp_path / "client", read_plainly(own.folder), random.Random(work)

    def run() -> None:
        with Repository.open(own.folder, keys=[own.online_keys, own.offline_keys]) as repository:
            WORK[work](repository, own)

    whole = kill_after(None, run)
    for _ in range(TIMES):
        kill_after(moment.random() * whole, run)
        # One client follows from the start, and another one is new.
        fetch_everything(own.folder, client)
        fetch_everything(own.folder, tmp_path / "fresh")
        shutil.rmtree(tmp_path / "fresh")
        with Repository.open(own.folder) as repository:
            check_own(repository)
    kill_after(None, run)
    fetch_everything(own.folder, client)
    assert read_plainly(own.folder) == plain
