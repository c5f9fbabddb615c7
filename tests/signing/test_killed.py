"""Processes that are killed at random moments: rotate, recover, gc, collect."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from securepip.signing.publish.accounted import check_own
from securepip.signing.repository.repository import Repository
from tests.signing.clients import fetch_everything, read_plainly
from tests.support.repositories import MadeRepository, make_repository
from tests.support.wheels import make_wheel

TIMES = 50 if os.environ.get("SECUREPIP_TEST_EVERY_KILL") else 3
"""How often each is killed."""

_PREAMBLE = """
import sys
from datetime import timedelta
from pathlib import Path
from securepip.signing.publish.gc import sweep
from securepip.signing.offline.recover import OfflineKeys, recover
from securepip.signing.repository.repository import Repository
from securepip.signing.offline.rotate import NewKeys, rotate
folder, online, offline, good = map(Path, sys.argv[1:])
repository = Repository.open(folder, keys=[online, offline])
new_online, new_offline = NewKeys(online), NewKeys(offline)
print("begin", flush=True)
"""
WORK = {
    "rotate-online": 'rotate(repository, "online", new_online)',
    "rotate-root": 'rotate(repository, "root", new_offline)',
    "rotate-targets": 'rotate(repository, "targets", new_offline)',
    "recover": "recover(repository, good, online=new_online, offline=OfflineKeys(new_offline), "
    "confirm=lambda findings: True)",
    "gc": "sweep(repository, timedelta(seconds=-1))",
}


@pytest.fixture
def own(tmp_path: Path) -> MadeRepository:
    """A repository with some history, and a copy of it in ``good``."""
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
    paths = (own.folder, own.online_keys, own.offline_keys, tmp_path / "good")
    command = [sys.executable, "-c", _PREAMBLE + WORK[work], *map(str, paths)]
    environment = {**os.environ, "SECUREPIP_DATA_DIR": str(tmp_path / "data")}
    client, plain, moment = tmp_path / "client", read_plainly(own.folder), random.Random(work)

    def run(seconds: float | None) -> float:
        """Run it, kill it after so many seconds, and say how long it took."""
        with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) as process:
            assert process.stdout is not None
            process.stdout.readline()
            begin = time.monotonic()
            if seconds is not None:
                time.sleep(seconds)
                process.kill()
            code = process.wait(timeout=60)
            assert seconds is not None or code == 0
            return time.monotonic() - begin

    whole = run(None)
    for _ in range(TIMES):
        run(moment.random() * whole)
        # One client follows all along; another one comes new.
        fetch_everything(own.folder, client)
        fetch_everything(own.folder, tmp_path / "fresh")
        shutil.rmtree(tmp_path / "fresh")
        with Repository.open(own.folder) as repository:
            check_own(repository)
    run(None)
    fetch_everything(own.folder, client)
    assert read_plainly(own.folder) == plain
