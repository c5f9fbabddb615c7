"""``repo gc`` deletes old snapshots, but no file that a client may still need, and no root."""

from __future__ import annotations

import errno
import os
import re
import shutil
import time
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from packaging.utils import NormalizedName

from securepip.errors import RepositoryStateError
from securepip.signing.offline.rotate import NewKeys, rotate
from securepip.signing.publish.add import add
from securepip.signing.publish.gc import Swept, sweep
from securepip.signing.publish.remove import remove
from securepip.signing.repository.repository import Repository
from securepip.signing.repository.storage.interface import StorageError
from tests.signing.clients import fetch_everything, read_plainly, updater
from tests.signing.killing import kill_points, run_until
from tests.support.disks import fail_to_read
from tests.support.machine import Machine
from tests.support.repositories import MadeRepository, make_repository
from tests.support.wheels import make_sdist, make_wheel

_DAY = 86400


@pytest.fixture
def old(tmp_path: Path) -> MadeRepository:
    """A repository with eleven snapshots, the last of which became current two months ago."""
    made = make_repository(tmp_path / "old", make_wheel(tmp_path, "app", "1.0"), expected_files=1)
    for minor in range(1, 8):
        made.add(make_wheel(tmp_path, "app", f"1.{minor}"), make_sdist(tmp_path, "lib", f"{minor}"))
    with Repository.open(made.folder, keys=[made.online_keys, made.offline_keys]) as repository:
        rotate(repository, "targets", NewKeys(made.offline_keys))
    remove(made.repository, "app==1.3")
    made.repository.ledger.close()
    age(made, 60)
    return made


def age(made: MadeRepository, days: float) -> None:
    """Let all files be as old as that."""
    then = time.time() - days * _DAY
    for path in made.folder.rglob("*"):
        if path.is_file() and "state" not in path.relative_to(made.folder).parts:
            os.utime(path, (then, then))


def swept(made: MadeRepository, days: float = 28, *, dry: bool = False) -> Swept:
    with Repository.open(made.folder) as repository:
        return sweep(repository, timedelta(days=days), dry=dry)


def listing(made: MadeRepository) -> set[str]:
    return {
        str(path.relative_to(made.folder))
        for name in ("metadata", "simple", "packages")
        for path in (made.folder / name).rglob("*")
        if path.is_file()
    }


@pytest.mark.parametrize("damaged", [b"", b"[]", b'{"signed": {"meta": {"x.json": {}}}}'])
def test_a_damaged_old_snapshot_leads_to_nothing(old: MadeRepository, damaged: bytes) -> None:
    first = old.folder / "metadata" / "1.snapshot.json"
    first.write_bytes(damaged)
    age(old, 60)
    assert swept(old, days=90).files == 0
    assert swept(old).snapshots == 10


def test_nothing_is_deleted_while_a_current_role_cannot_be_read(old: MadeRepository) -> None:
    """As in an overlay, whose distributions are elsewhere: only the role names the pages."""
    for folder in (old.folder / "packages").iterdir():
        shutil.rmtree(folder)
    with Repository.open(old.folder) as repository:
        version = repository.roles().meta("bin-0").version
    path = old.folder / "metadata" / f"{version}.bin-0.json"
    path.write_bytes(b"")
    age(old, 60)
    before = listing(old)
    with pytest.raises(RepositoryStateError, match=re.escape(str(path))):
        swept(old)
    assert listing(old) == before


UNREADABLE = (
    OSError(errno.EIO, "Input/output error"),
    StorageError("s3://shelf", "it does not answer", "", ""),
)


@pytest.mark.parametrize("error", UNREADABLE, ids=["a disk", "a bucket"])
def test_nothing_is_deleted_while_an_old_page_cannot_be_read_just_now(
    old: MadeRepository, monkeypatch: pytest.MonkeyPatch, error: OSError
) -> None:
    """Only the page names its files."""
    with Repository.open(old.folder, keys=[old.online_keys]) as repository:
        remove(repository, "app==1.5")
        current = repository.known().page(NormalizedName("app"))
    before, pages = listing(old), old.folder / "simple" / "app"
    with monkeypatch.context() as storage:
        fail_to_read(
            storage, lambda path: path.parent == pages and str(current) not in path.name, error
        )
        with pytest.raises(StorageError, match="cannot be used"):
            swept(old)
    assert listing(old) == before
    assert swept(old).files


def test_only_what_is_current_is_left_and_every_root(old: MadeRepository, tmp_path: Path) -> None:
    fetch_everything(old.folder, tmp_path / "client")
    before, plain = listing(old), read_plainly(old.folder)
    would = swept(old, dry=True)
    assert listing(old) == before
    done = swept(old)
    assert would == done
    assert done.files > 20
    assert (done.snapshots, done.kept_snapshots) == (10, 1)
    assert len(list((old.folder / "metadata").glob("*.root.json"))) == 3
    assert len(list((old.folder / "metadata").glob("*.snapshot.json"))) == 1
    assert len(list((old.folder / "simple" / "app").glob("*.index.json"))) == 1
    assert read_plainly(old.folder) == plain
    for client in ("client", "fresh"):
        fetch_everything(old.folder, tmp_path / client)
    assert swept(old).files == 0


def test_what_was_current_within_the_grace_period_stays(
    old: MadeRepository, tmp_path: Path
) -> None:
    """The snapshot before the last one was current until a week ago."""
    client = updater(old.folder, tmp_path / "client")
    client.refresh()
    before = (old.folder / "metadata" / "timestamp.json").read_bytes()
    with Repository.open(old.folder) as repository:
        add(repository, [make_wheel(tmp_path, "app", "2.0")])
    done = swept(old)
    assert done.kept_snapshots == 2
    # A client that has begun with the older one can continue.
    info = client.get_targetinfo("simple/app/index.json")
    assert info is not None
    client.download_target(info)
    page = Path(tmp_path / "client" / "targets").iterdir()
    assert b"app-1.7" in next(page).read_bytes()
    (old.folder / "metadata" / "timestamp.json").write_bytes(before)
    slow = updater(old.folder, tmp_path / "slow")
    slow.refresh()
    assert slow.get_targetinfo("packages/app/app-1.7-py3-none-any.whl") is not None


def test_what_is_young_stays_whoever_wrote_it(old: MadeRepository) -> None:
    for name in ("metadata/99.gone.json", f"simple/app/{'0' * 64}.index.json", "packages/app/x"):
        (old.folder / name).write_text("{}")
    swept(old)
    names = listing(old)
    assert {"metadata/99.gone.json", f"simple/app/{'0' * 64}.index.json", "packages/app/x"} < names
    age(old, 29)
    assert swept(old).files == 3


def test_a_number_that_a_killed_run_has_used_is_kept_from_being_used_again(
    old: MadeRepository,
) -> None:
    with Repository.open(old.folder, keys=[old.online_keys]) as repository:
        roles = repository.roles()
        name = next(roles.bin_names())
        left = old.folder / "metadata" / f"{roles.meta(name).version + 1}.{name}.json"
    left.write_text("{}")
    age(old, 60)
    swept(old)
    assert left.exists()
    with Repository.open(old.folder, keys=[old.online_keys]) as repository, repository.lock():
        for _ in range(2):
            repository.sign({name: repository.roles().role(name)})
    age(old, 60)
    swept(old)
    assert not left.exists()


def test_a_stranger_in_the_folder_is_left_alone(old: MadeRepository) -> None:
    (old.folder / "metadata" / "README").write_text("hands off")
    (old.folder / "simple" / "robots.txt").write_text("hands off")
    age(old, 60)
    swept(old)
    assert {"metadata/README", "simple/robots.txt"} < listing(old)


def test_killed_at_any_step_it_harms_nobody_and_goes_on(
    old: MadeRepository, tmp_path: Path
) -> None:
    def copy(number: int) -> MadeRepository:
        shutil.copytree(old.folder, tmp_path / f"copy-{number}")
        return replace(old, folder=tmp_path / f"copy-{number}")

    counted = copy(-1)
    for step in kill_points(lambda: swept(counted)):
        made, client = copy(step), tmp_path / f"client-{step}"
        updater(made.folder, client).refresh()
        run_until(step, lambda made=made: swept(made))  # type: ignore[misc] # bound
        fetch_everything(made.folder, client)
        swept(made)
        fetch_everything(made.folder, tmp_path / f"fresh-{step}")
        assert len(list((made.folder / "metadata").glob("*.snapshot.json"))) == 1
        read_plainly(made.folder)


def test_the_command_says_what_it_did(old: MadeRepository, machine: Machine) -> None:
    would = machine.run("repo", "gc", old.folder, "--dry-run")
    assert would.out.startswith("Would delete ")
    assert "Deleted 0 files" in machine.run("repo", "gc", old.folder, "--grace", "61").out
    done = machine.run("repo", "gc", old.folder)
    assert done.out == would.out.replace("Would delete", "Deleted")
    assert "10 old snapshots among them; 1 snapshot stays" in done.out
    assert machine.run("repo", "gc", old.folder, "--grace", "-1").code == 2
