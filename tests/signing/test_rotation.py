"""``repo rotate`` for each role: with clients that are behind, and killed at its steps."""

from __future__ import annotations

import errno
import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from tuf.api.metadata import Metadata, Root

from securepip.errors import RepositoryStateError, UsageError
from securepip.signing.offline import bundle
from securepip.signing.offline.proposal import OFFLINE_ROLES, ONLINE_ROLES
from securepip.signing.offline.rotate import (
    ROTATABLE,
    NewKeys,
    Rotated,
    all_keyids,
    keyids_of,
    rotate,
)
from securepip.signing.publish.add import add
from securepip.signing.repository import commit
from securepip.signing.repository.repository import Repository
from tests.signing.clients import fetch_everything
from tests.signing.killing import kill_points, run_until
from tests.support.machine import Machine
from tests.support.repositories import MadeRepository, make_repository, serve
from tests.support.wheels import make_wheel


@pytest.fixture
def own(tmp_path: Path) -> MadeRepository:
    """A repository with its own keys, which a test may replace."""
    return make_repository(tmp_path / "own", make_wheel(tmp_path, "app", "1.0"), expected_files=1)


def opened(made: MadeRepository) -> Repository:
    return Repository.open(made.folder, keys=[made.online_keys, made.offline_keys])


def rotated(made: MadeRepository, role: str, *going: str) -> Rotated:
    online = role in ("online", *ONLINE_ROLES)
    with opened(made) as repository:
        new = NewKeys(made.online_keys if online else made.offline_keys)
        return rotate(repository, role, new, replace=going)


def destroy(done: Rotated) -> None:
    """Destroy the old keys, as the command tells the operator to."""
    for uri in done.out.values():
        assert uri is not None
        Path(uri.partition(":")[2]).unlink()


@pytest.mark.parametrize("role", ROTATABLE)
def test_every_key_of_every_role_can_be_replaced(
    own: MadeRepository, tmp_path: Path, role: str
) -> None:
    fetch_everything(own.folder, tmp_path / "old-client")
    with opened(own) as repository:
        before = repository.roles()
        names = ONLINE_ROLES if role == "online" else (role,)
        others = [name for name in (*OFFLINE_ROLES, *ONLINE_ROLES) if name not in names]
        old = {name: set(keyids_of(before, name)) for name in names}
        same = {name: keyids_of(before, name) for name in others}
    done = rotated(own, role)
    with opened(own) as repository:
        after = repository.roles()
        for name in names:
            assert not old[name] & set(keyids_of(after, name)), name
            assert len(old[name]) == len(keyids_of(after, name))
        assert same == {name: keyids_of(after, name) for name in others}
        assert set(done.came) <= all_keyids(after)
    if role in ("online", *OFFLINE_ROLES):
        destroy(done)
    for client in ("old-client", "new-client"):
        assert len(fetch_everything(own.folder, tmp_path / client)) == 2
    with opened(own) as repository:
        repository.log.check(repository.roles().timestamp.signed)
    assert own.folder / "state" / "pending" not in own.folder.joinpath("state").iterdir()


def test_one_key_of_root_is_replaced_and_the_others_stay(own: MadeRepository) -> None:
    with opened(own) as repository:
        first, *others = keyids_of(repository.roles(), "root")
    done = rotated(own, "root", first[:10])
    assert list(done.out) == [first]
    with opened(own) as repository:
        now = keyids_of(repository.roles(), "root")
        assert repository.roles().root.signed.roles["root"].threshold == 2
    assert set(others) < set(now)
    assert len(now) == 3


def test_a_client_three_roots_behind_with_all_keys_replaced_twice_installs_without_help(
    own: MadeRepository, machine: Machine, tmp_path: Path
) -> None:
    with serve(own.folder) as url:
        machine.trust(own, url)
        with opened(own) as repository:
            keys = all_keyids(repository.roles())
        for _ in range(2):
            for role in ("root", "online", "targets", "bins", "claimed"):
                destroy(rotated(own, role))
            with opened(own) as repository:
                assert not keys & all_keyids(repository.roles())
                keys = all_keyids(repository.roles())
        assert len(list((own.folder / "metadata").glob("*.root.json"))) > 4
        with opened(own) as repository:
            add(repository, [make_wheel(tmp_path, "app", "2.0")])
        done = machine.install("app")
        assert done.code == 0, done.err
        assert machine.version_of("app") == "2.0"


def test_nothing_changes_without_enough_old_root_keys(own: MadeRepository) -> None:
    kept, *lost = sorted(own.offline_keys.glob("root-*.pem"))
    for path in lost:
        path.unlink()
    before = contents(own.folder / "metadata")
    online = contents(own.online_keys)
    with pytest.raises(RepositoryStateError, match=r"2\.root\.json is not signed: 1 more"):
        rotated(own, "online")
    assert contents(own.folder / "metadata") == before
    assert contents(own.online_keys) == online
    assert kept.exists()


def test_a_role_or_key_that_is_not_there_is_named(own: MadeRepository) -> None:
    with pytest.raises(UsageError, match="not a role: 'bin-0'"):
        rotated(own, "bin-0")
    with pytest.raises(UsageError, match="not the id of one key of root: ''"):
        rotated(own, "root", "")


def test_new_keys_are_not_put_where_they_would_be_served(own: MadeRepository) -> None:
    keys = [own.online_keys, own.offline_keys]
    folder = own.folder / "packages" / "keys"
    with (
        Repository.open(own.folder, keys=keys) as repository,
        pytest.raises(RepositoryStateError, match="in the repository itself"),
    ):
        rotate(repository, "online", NewKeys(folder))
    assert not folder.exists()


def test_the_first_new_root_does_not_lengthen_the_life_of_stolen_keys(own: MadeRepository) -> None:
    """It also names the old key: withholding the second root must be of no use to a thief."""
    rotated(own, "online")
    first, both, final = (
        Metadata[Root].from_file(str(own.folder / "metadata" / f"{version}.root.json")).signed
        for version in (1, 2, 3)
    )
    assert both.expires == first.expires
    assert set(first.roles["timestamp"].keyids) < set(both.roles["timestamp"].keyids)
    assert not set(first.roles["timestamp"].keyids) & set(final.roles["timestamp"].keyids)


@pytest.mark.parametrize("role", ["online", "root", "targets"])
def test_a_rotation_that_is_killed_at_any_step_harms_nobody_and_is_finished_later(
    own: MadeRepository, tmp_path: Path, role: str
) -> None:
    own.repository.ledger.close()
    with opened(own) as repository:
        old = all_keyids(repository.roles())
    steps = kill_points(lambda: rotated(copy_of(own, tmp_path / "counted"), role))
    assert steps[-1] > 10
    for step in steps:
        copy = copy_of(own, tmp_path / f"step-{step}")
        client = tmp_path / f"client-{step}"
        fetch_everything(copy.folder, client)
        finished = run_until(step, lambda copy=copy: rotated(copy, role))  # type: ignore[misc] # bound
        assert finished == (step == steps[-1])
        fetch_everything(copy.folder, client)
        rotated(copy, role)
        fetch_everything(copy.folder, client)
        fetch_everything(copy.folder, tmp_path / f"fresh-{step}")
        with opened(copy) as repository:
            roles = repository.roles()
            repository.log.check(roles.timestamp.signed)
            names = ONLINE_ROLES if role == "online" else (role,)
            assert not old & {keyid for name in names for keyid in keyids_of(roles, name)}


@pytest.mark.parametrize(("role", "pinned"), [("online", 0), ("snapshot", 8), ("bin-n", 8)])
def test_bins_with_a_key_of_their_own_are_pinned_by_the_snapshot(
    own: MadeRepository, role: str, pinned: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise a thief of that key could serve another file of the same version."""
    monkeypatch.setattr(commit, "MAX_PINNED_BINS", 0)
    rotated(own, role)
    with opened(own) as repository:
        roles = repository.roles()
        metas = [roles.meta(name) for name in roles.bin_names()]
        assert len(metas) == 8
        assert sum(meta.hashes is not None for meta in metas) == pinned
        assert roles.meta("targets").hashes is not None


def test_status_says_that_a_rotation_was_interrupted(
    own: MadeRepository, machine: Machine, tmp_path: Path
) -> None:
    steps = kill_points(lambda: rotated(copy_of(own, tmp_path / "counted"), "root"))
    run_until(steps[-1] // 2 + 1, lambda: rotated(own, "root"))
    said = machine.run("repo", "status", own.folder).err
    assert ("A `repo rotate` was interrupted" in said) == (
        (own.folder / "state" / "pending").exists()
    )
    assert (own.folder / "state" / "pending").exists()
    rotated(own, "root")
    assert "interrupted" not in machine.run("repo", "status", own.folder).err


def copy_of(made: MadeRepository, folder: Path) -> MadeRepository:
    """A copy of a repository and its keys, on another machine, which this process is from now on.

    One machine would remember what was signed for the copy before, and refuse the older state.
    """
    os.environ["SECUREPIP_DATA_DIR"] = str(folder / "data")
    shutil.copytree(made.folder, folder / "repository")
    shutil.copytree(made.online_keys.parent, folder / "keys")
    keys = folder / "keys"
    return replace(
        made,
        folder=folder / "repository",
        online_keys=keys / "online",
        offline_keys=keys / "offline",
    )


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("file", ["ceremony.json", "2.root.json"])
def test_a_rotation_that_was_begun_is_not_forgotten_because_it_cannot_be_read_just_now(
    own: MadeRepository, tmp_path: Path, file: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = kill_points(lambda: rotated(copy_of(own, tmp_path / "counted"), "root"))
    run_until(steps[-1] // 2 + 1, lambda: rotated(own, "root"))
    pending = own.folder / "state" / "pending"
    assert pending.exists()
    begun = files_of(pending)

    def failing(path: Path) -> bytes:
        if path.name == file:
            raise OSError(errno.EIO, "Input/output error", str(path))
        return path.read_bytes()

    with monkeypatch.context() as disk:
        disk.setattr(bundle, "_read", failing)
        with pytest.raises(RepositoryStateError, match=r"cannot be changed.*Input/output error"):
            rotated(own, "root")
    assert files_of(pending) == begun
    rotated(own, "root")
    assert not pending.exists()


def files_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
