"""``claim``, ``accept`` and ``promote`` are killed; the repository stays valid, and they run again.

A python-tuf client must accept the repository after each kill and after the next run. With
``SECUREPIP_TEST_EVERY_KILL`` they are killed at each step, and at more random moments.
"""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from packaging.utils import NormalizedName

from securepip.signing.claims.promote import promote
from securepip.signing.claims.transactions.accept import accept, claim
from securepip.signing.repository.repository import Repository
from tests.signing.clients import fetch_everything, read_plainly
from tests.signing.killing import kill_after, kill_points, run_until
from tests.support.maintainers import Maintainers
from tests.support.maintainers import claim as claim_for
from tests.support.repositories import MadeRepository
from tests.support.wheels import make_sdist, make_wheel

APP = NormalizedName("app")
_SOURCES = Path(__file__).parents[2] / "src"

Work = Callable[[Repository], object]


def killed_everywhere(made: MadeRepository, tmp_path: Path, work: Work) -> None:
    """Kill ``work`` before each of its steps in turn, on a copy of the repository each time."""
    made.repository.ledger.close()
    keys = [made.online_keys, made.offline_keys]

    def run(folder: Path) -> None:
        # Each copy is on a machine of its own: another one would refuse the older state.
        os.environ["SECUREPIP_DATA_DIR"] = str(folder.with_name(f"{folder.name}-data"))
        with Repository.open(folder, keys=keys) as repository:
            work(repository)

    scratch, reference = tmp_path / "scratch", tmp_path / "reference"
    shutil.copytree(made.folder, scratch)
    shutil.copytree(made.folder, reference)
    run(reference)
    old, new = signed(made.folder, tmp_path / "a"), signed(reference, tmp_path / "b")
    plain = read_plainly(made.folder) | read_plainly(reference)
    for step in kill_points(lambda: run(scratch)):
        folder, client = tmp_path / f"step-{step}", tmp_path / f"client-{step}"
        shutil.copytree(made.folder, folder)
        signed(folder, client)
        run_until(step, lambda folder=folder: run(folder))  # type: ignore[misc] # bound
        assert signed(folder, client) in (old, new), step
        assert read_plainly(folder) <= plain
        run(folder)
        assert signed(folder, client) == new == signed(folder, tmp_path / f"new-{step}"), step
        assert read_plainly(folder) == read_plainly(reference)
        shutil.rmtree(folder)


def signed(folder: Path, client: Path) -> tuple[set[str], str, list[str]]:
    """All that is signed and can be fetched, who signs for ``app``, and with which keys."""
    targets = fetch_everything(folder, client)
    with Repository.open(folder) as repository:
        found = repository.roles().claim(APP)
    return targets, found.top if found else "bins", found.holders.keyids if found else []


def test_killing_a_claim_harms_nobody(
    made: MadeRepository, alice: Maintainers, tmp_path: Path
) -> None:
    request = alice.request(made, "app", tmp_path / "requests")
    killed_everywhere(made, tmp_path, lambda repository: claim(repository, request))


def test_killing_an_acceptance_harms_nobody(
    claimed: MadeRepository, alice: Maintainers, tmp_path: Path
) -> None:
    files = [make_wheel(tmp_path / "dist", "app", "3.0"), make_sdist(tmp_path / "dist", "app", "3")]
    path = alice.release(claimed, "app", tmp_path / "requests", *files)
    killed_everywhere(claimed, tmp_path, lambda repository: accept(repository, path))


def test_killing_a_promotion_harms_nobody(
    claimed: MadeRepository, alice: Maintainers, tmp_path: Path
) -> None:
    claim_for(claimed, "lib", Maintainers.of(2))
    killed_everywhere(claimed, tmp_path, promote)


def test_killing_a_change_of_keys_harms_nobody(
    claimed: MadeRepository, alice: Maintainers, tmp_path: Path
) -> None:
    promote(claimed.repository)
    folder = tmp_path / "requests"
    accept(claimed.repository, alice.hand_over(claimed, "app", folder, Maintainers.of(1)))
    killed_everywhere(claimed, tmp_path, promote)


@pytest.mark.parametrize("verb", ["accept", "promote"])
def test_killing_at_random_moments_harms_nobody(
    claimed: MadeRepository, alice: Maintainers, tmp_path: Path, verb: str
) -> None:
    wheel = make_wheel(tmp_path / "dist", "app", "3.0")
    path = alice.release(claimed, "app", tmp_path / "requests", wheel)

    def run() -> None:
        with Repository.open(claimed.folder) as repository:
            promote(repository) if verb == "promote" else accept(repository, path)

    moment = random.Random(480)
    for _ in range(50 if os.environ.get("SECUREPIP_TEST_EVERY_KILL") else 4):
        kill_after(moment.random() * 0.15, run)
        fetch_everything(claimed.folder, tmp_path / "client")
    kill_after(None, run)
    fetch_everything(claimed.folder, tmp_path / "client")
    assert read_plainly(claimed.folder) >= {"app-1.0-py3-none-any.whl", "lib-1.0-py3-none-any.whl"}
    found = claimed.repository.roles().claim(APP)
    assert found is not None
    if verb == "promote":
        assert found.top == "claimed"
    else:
        assert wheel.name in read_plainly(claimed.folder)
