"""Being killed at every step that can be seen from outside, and at random moments."""

from __future__ import annotations

import itertools
import os
import random
import shutil
import subprocess
import sys
import time
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
from tests.signing.killing import run_until
from tests.support.repositories import make_repository, serve
from tests.support.wheels import make_sdist, make_wheel

Work = Callable[[Repository], object]


@pytest.fixture
def template(tmp_path: Path) -> Path:
    """A repository with one project, its offline keys taken away."""
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
    # Files and twins, pages, bins, snapshot, timestamp, plain copies: fewer would prove little.
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
            # The run that was killed had done it all but for what plain clients see.
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

    for step in itertools.count():
        folder = tmp_path / f"new-{step}"
        finished = run_until(step, lambda folder=folder: work(folder))  # type: ignore[misc] # bound
        if not (folder / "state" / "config.json").exists():
            work(folder)
        assert fetch_everything(folder, tmp_path / f"client-{step}") == set()
        if finished:
            break


def test_what_is_current_by_its_name_is_on_the_disk_before_it_has_it(
    template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a power cut could leave an empty file, and with it no client could go on."""
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


def test_killing_add_at_random_moments_harms_nobody(template: Path, tmp_path: Path) -> None:
    files = [make_wheel(tmp_path, "one", f"4.{minor}") for minor in range(8)]
    code = (
        "import sys; from pathlib import Path\n"
        "from securepip.signing.publish.add import add\n"
        "from securepip.signing.repository.repository import Repository\n"
        "repository = Repository.open(Path(sys.argv[1])); print('begin', flush=True)\n"
        "for path in sys.argv[2:]: add(repository, [Path(path)])\n"
    )
    command = [sys.executable, "-c", code, str(template), *map(str, files)]
    old, new = read_plainly(template), {file.name for file in files}
    moment = random.Random(458)
    for _ in range(6):
        with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            process.stdout.readline()
            time.sleep(moment.random() * 0.1)
            process.kill()
        fetch_everything(template, tmp_path / "client")
        assert old <= read_plainly(template) <= old | new
    into = tmp_path / "site"
    with serve(template) as url:
        pip = [sys.executable, "-m", "pip", "--isolated", "install", "--no-cache-dir", "-q"]
        pip += ["--index-url", f"{url}simple/", "--target", str(into), "one", "two"]
        subprocess.run(pip, check=True, timeout=120)
    subprocess.run(command, check=True, timeout=60, stdout=subprocess.DEVNULL)
    assert read_plainly(template) == old | new
    fetch_everything(template, tmp_path / "client")


def _crash_everywhere(template: Path, tmp_path: Path, work: Work, new: set[str]) -> int:
    """Crash ``work`` before each of its steps in turn, and look at what is left.

    One client of python-tuf follows along: it must accept what it sees after the crash, and then
    what the next run makes of it.

    Returns:
        How many steps there were.
    """
    old = read_plainly(template)
    for step in itertools.count():
        folder, client = tmp_path / f"step-{step}", tmp_path / f"client-{step}"
        shutil.copytree(template, folder)

        def run(folder: Path = folder) -> None:
            with Repository.open(folder) as repository:
                work(repository)

        finished = run_until(step, run)
        signed = {path.rpartition("/")[2] for path in fetch_everything(folder, client)}
        assert signed - {"index.json"} in (old, new), step
        # Each page is of one of the two moments, and all it links to is there.
        assert old & new <= read_plainly(folder) <= old | new, step
        run()
        signed = {path.rpartition("/")[2] for path in fetch_everything(folder, client)}
        assert signed - {"index.json"} == new == read_plainly(folder), step
        assert not list((folder / "state" / "unfinished").glob("*"))
        shutil.rmtree(folder)
        shutil.rmtree(client)
        if finished:
            return step
    raise AssertionError("unreachable")
