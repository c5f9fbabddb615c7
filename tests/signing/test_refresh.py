"""``repo refresh`` renews signatures, and commands warn in time that offline keys are needed."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from securepip.errors import UsageError
from securepip.signing.publish import refresh as refresh_module
from securepip.signing.publish.refresh import refresh
from securepip.signing.repository import commit
from securepip.signing.repository.config import Expiry, parse_expiry
from securepip.signing.repository.repository import Repository
from tests.signing.clients import fetch_everything
from tests.support.machine import Machine
from tests.support.repositories import MadeRepository, make_repository
from tests.support.wheels import make_wheel

Later = Callable[[float], None]


@pytest.fixture
def made(tmp_path: Path) -> MadeRepository:
    wheel = make_wheel(tmp_path, "one", "1.0")
    return make_repository(tmp_path / "repository", wheel, expected_files=10)


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> Later:
    """Set the clock of the signing side so many days ahead; clients keep the real time."""

    def pass_days(days: float) -> None:
        moment = datetime.now(timezone.utc).replace(microsecond=0) + timedelta(days=days)
        monkeypatch.setattr(commit, "now", lambda: moment)
        monkeypatch.setattr(refresh_module, "now", lambda: moment)

    return pass_days


def test_nothing_is_signed_before_half_of_its_life(made: MadeRepository, later: Later) -> None:
    shutil.rmtree(made.offline_keys)
    later(3)
    assert refresh(made.repository).signed == ()
    later(4)
    assert refresh(made.repository).signed == ("snapshot", "timestamp")


def test_a_timestamp_that_lives_shorter_is_renewed_alone(tmp_path: Path, later: Later) -> None:
    made = make_repository(tmp_path / "repository", expiry=Expiry(timestamp=1))
    later(0.6)
    assert refresh(made.repository).signed == ("timestamp",)
    fetch_everything(made.folder, tmp_path / "client")


def test_bins_are_renewed_a_few_at_a_time_and_all_in_time(
    made: MadeRepository, later: Later, tmp_path: Path
) -> None:
    roles = made.repository.roles()
    first = {name: roles.meta(name).version for name in roles.bin_names()}
    batches = []
    for day in range(90):
        later(day)
        signed = refresh(made.repository).signed
        batches.append(sum(name in first for name in signed))
    assert sum(batches[:45]) == 0
    assert sum(batches) == len(first)
    assert max(batches) <= len(first) / 10
    fetch_everything(made.folder, tmp_path / "client")


def test_after_a_long_pause_whatever_is_urgent_is_renewed_at_once(
    made: MadeRepository, later: Later
) -> None:
    later(89)
    signed = refresh(made.repository).signed
    assert set(made.repository.roles().bin_names()) <= set(signed)
    assert "recently-claimed" in signed


def test_a_role_that_needs_offline_keys_is_announced_before_it_expires(
    made: MadeRepository, later: Later, tmp_path: Path
) -> None:
    later(23)
    assert refresh(made.repository).waiting == ()
    later(300)
    waiting = {each.role for each in refresh(made.repository).waiting}
    assert waiting == {"root", "targets", "bins", "claimed"}
    with Repository.open(made.folder, keys=[made.offline_keys]) as repository:
        done = refresh(repository, offline=True)
    assert done.waiting == ()
    assert {"root", "targets", "bins", "claimed"} <= set(done.signed)
    assert made.repository.roles().root.signed.version == 2
    fetch_everything(made.folder, tmp_path / "client")


@pytest.mark.parametrize(("days", "code"), [(23, 0), (24, 0), (29, 1), (36, 1)])
def test_commands_warn_from_a_third_of_the_time_left_and_fail_in_its_last_days(
    made: MadeRepository, later: Later, machine: Machine, days: int, code: int
) -> None:
    """`claimed` is valid for 35 days; if it has expired, no client can install anything."""
    later(days)
    for command in ("refresh", "status"):
        done = machine.run("repo", command, made.folder)
        assert done.code == code, done.err
        warned = "The role claimed" in done.err and "--offline-keys DIR" in done.err
        assert warned == (days > 23)


def test_expiry_is_settable_for_each_role() -> None:
    assert parse_expiry(()) == Expiry()
    short = parse_expiry(["pep458"])
    assert (short.timestamp, short.snapshot, short.bin_n) == (1, 1, 1)
    mixed = parse_expiry(["pep458", "bin-n=30", "root=730"])
    assert (mixed.timestamp, mixed.bin_n, mixed.root, mixed.claimed) == (1, 30, 730, 35)
    assert mixed.of("bin-3f") == timedelta(days=30)
    assert mixed.of("recently-claimed") == timedelta(days=90)
    for wrong in ("", "pep480", "root", "root=", "root=0", "root=-1", "boot=3", "root=1e3"):
        with pytest.raises(UsageError):
            parse_expiry([wrong])
