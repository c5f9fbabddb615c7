"""``add``, ``remove``, ``refresh`` and ``create`` are killed before steps that others can see."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from securepip.errors import RepositoryStateError
from securepip.signing.publish.add import add
from securepip.signing.publish.create import create
from securepip.signing.publish.refresh import refresh
from securepip.signing.publish.remove import remove
from securepip.signing.repository.repository import Repository
from tests.signing.clients import fetch_everything, read_plainly
from tests.signing.killing import kill_points, run_until
from tests.support.repositories import make_repository
from tests.support.wheels import make_sdist, make_wheel

Work = Callable[[Repository], object]


@pytest.fixture
def template(tmp_path: Path) -> Path:
    """A repository with two projects, without its offline keys."""
    made = make_repository(
        tmp_path / "template",
        make_wheel(tmp_path, "one", "1.0"),
        make_wheel(tmp_path, "one", "2.0"),
        make_wheel(tmp_path, "two", "1.0"),
        expected_files=1,
    )
    made.repository.ledger.close()
    shutil.rmtree(made.offline_keys)
    return made.folder


def test_a_crash_of_add_at_any_step_harms_nobody(template: Path, tmp_path: Path) -> None:
    files = [
        make_wheel(tmp_path, "one", "3.0"),
        make_sdist(tmp_path, "three", "1.0"),
    ]
    old = read_plainly(template)
    new = old | {file.name for file in files}
    steps = _crash_everywhere(template, tmp_path, lambda repository: add(repository, files), new)
    # Files and their twins, pages, bins, snapshot, timestamp, and plain pages.
    assert steps > 20


@pytest.mark.parametrize("what", ["one", "one==1.0", "one-1.0-py3-none-any.whl"])
def test_a_crash_of_remove_at_any_step_harms_nobody(
    template: Path, tmp_path: Path, what: str
) -> None:
    gone = "one-" if what == "one" else "one-1.0"
    new = {name for name in read_plainly(template) if not name.startswith(gone)}

    def work(repository: Repository) -> None:
        try:
            remove(repository, what)
        except RepositoryStateError as error:
            # The killed run had done everything but the plain pages.
            assert "there is no" in error.what

    assert _crash_everywhere(template, tmp_path, work, new) > 8


def test_a_crash_of_refresh_at_any_step_harms_nobody(template: Path, tmp_path: Path) -> None:
    def work(repository: Repository) -> None:
        with repository.lock():
            repository.renew_timestamp()
        refresh(repository)

    assert _crash_everywhere(template, tmp_path, work, read_plainly(template)) >= 2


def test_a_crash_of_init_at_any_step_leaves_no_half_of_a_repository(tmp_path: Path) -> None:
    def work(folder: Path) -> None:
        keys = tmp_path / "keys" / os.urandom(4).hex()
        create(folder, expected_files=1, online_keys=keys / "a", offline_keys=keys / "b")

    for step in kill_points(lambda: work(tmp_path / "counted")):
        folder = tmp_path / f"new-{step}"
        run_until(step, lambda folder=folder: work(folder))  # type: ignore[misc] # bound
        if not (folder / "state" / "config.json").exists():
            work(folder)
        assert fetch_everything(folder, tmp_path / f"client-{step}") == set()


def test_what_is_current_by_its_name_is_on_the_disk_before_it_has_it(
    template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise a power failure could leave an empty file, and stop all clients."""
    synced: set[int] = set()
    fsync = os.fsync

    def seen(descriptor: int) -> None:
        synced.add(os.fstat(descriptor).st_ino)
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", seen)
    with Repository.open(template) as repository:
        add(repository, [make_wheel(tmp_path, "one", "3.0")])
        with repository.lock():
            repository.set_signers(repository.config.signers)
            repository.write_root(repository.roles().root)
    for name in ("metadata/timestamp.json", "metadata/1.root.json", "state/config.json"):
        assert (template / name).stat().st_ino in synced, name


def _crash_everywhere(template: Path, tmp_path: Path, work: Work, new: set[str]) -> int:
    """Kill ``work`` before some of its steps, each in a copy, and check the repository.

    After each kill, and after the next run, the same python-tuf client must accept it.

    Returns:
        The number of steps.
    """
    old = read_plainly(template)

    def run(folder: Path) -> None:
        with Repository.open(folder) as repository:
            work(repository)

    counted = Path(shutil.copytree(template, tmp_path / "counted"))
    steps = kill_points(lambda: run(counted), most=10)
    for step in steps:
        folder, client = tmp_path / f"step-{step}", tmp_path / f"client-{step}"
        shutil.copytree(template, folder)
        run_until(step, lambda folder=folder: run(folder))  # type: ignore[misc] # bound
        signed = {path.rpartition("/")[2] for path in fetch_everything(folder, client)}
        assert signed - {"index.json"} in (old, new), step
        # Each plain page is the old or the new one, and each of its links works.
        assert old & new <= read_plainly(folder) <= old | new, step
        run(folder)
        signed = {path.rpartition("/")[2] for path in fetch_everything(folder, client)}
        assert signed - {"index.json"} == new == read_plainly(folder), step
        assert not list((folder / "state" / "unfinished").glob("*"))
    return steps[-1]
