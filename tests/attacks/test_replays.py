"""Files that were signed once: replayed, frozen, or mixed with newer ones."""

from __future__ import annotations

import errno
import os
import shutil
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import IO, Any
from unittest import mock

import pytest

from securepip.signing.repository import commit
from tests.attacks.refusals import assert_refused
from tests.support.hostile import serve_hostile
from tests.support.machine import Machine
from tests.support.repositories import MadeRepository
from tests.support.wheels import make_wheel


def expire(made: MadeRepository, tmp_path: Path) -> None:
    """Sign everything that the online key signs as if it were a month ago."""
    then = datetime.now(timezone.utc).replace(microsecond=0) - timedelta(days=30)
    with mock.patch.object(commit, "now", lambda: then):
        made.add(make_wheel(tmp_path / "built", "other", "2.0"))


def release(made: MadeRepository, tmp_path: Path, version: str) -> None:
    made.add(make_wheel(tmp_path / "built", "app", version, requires=["lib"]))


def test_an_older_state_of_the_repository_fools_pip_and_is_refused(
    machine: Machine, made: MadeRepository, tmp_path: Path
) -> None:
    """Rollback: the server shows a state from before the fixed release."""
    old = tmp_path / "old"
    shutil.copytree(made.folder, old)
    release(made, tmp_path, "3.0")
    with serve_hostile(made.folder) as server:
        machine.trust(made, server.url)
        assert "app-3.0" in machine.install("--dry-run", "app").out
        server.folder = old
        fooled = machine.pip_install(f"{server.url}simple/", "app")
        assert fooled.code == 0, fooled.err
        assert machine.version_of("app") == "2.0"
        machine.remove("app", "lib")
        assert_refused(machine.install("app"), server, r"metadata/timestamp\.json")
        assert machine.version_of("app") is None
        server.folder = made.folder
        assert machine.install("app").code == 0
        assert machine.version_of("app") == "3.0"


def test_trusting_a_repository_once_is_enough_to_notice_a_rollback(
    machine: Machine, made: MadeRepository, tmp_path: Path
) -> None:
    """Nothing has been installed from it before."""
    old = tmp_path / "old"
    shutil.copytree(made.folder, old)
    release(made, tmp_path, "3.0")
    with serve_hostile(made.folder) as server:
        machine.trust(made, server.url)
        server.folder = old
        assert_refused(machine.run("trust", "refresh"), server, r"metadata/timestamp\.json")
        assert_refused(machine.install("app"), server, r"metadata/timestamp\.json")


@pytest.mark.parametrize("name", ["timestamp.json", "2.root.json"])
def test_trusted_state_that_cannot_be_read_once_is_not_taken_for_none(
    machine: Machine, made: MadeRepository, tmp_path: Path, name: str
) -> None:
    """python-tuf continues without it, and would then accept an older state.

    Of a rotated root, only the new root is hidden.
    """
    shutil.copytree(made.folder, tmp_path / "old")
    with serve_hostile(made.folder) as server:
        machine.trust(made, server.url)
        release(made, tmp_path, "3.0")
        keys = ("--offline-keys", made.offline_keys, "--no-input")
        assert machine.run("repo", "rotate", made.folder, "root", *keys).code == 0
        assert machine.install("--dry-run", "app").code == 0
        before = keep_state(machine)

        def broken(path: str, mode: str = "r") -> IO[Any]:
            if path.endswith(name):
                raise OSError(errno.EIO, os.strerror(errno.EIO), path)
            return Path(path).open(mode)

        if name == "timestamp.json":
            server.folder = tmp_path / "old"
        else:
            server.withhold(rf"metadata/{name}")
        with mock.patch("tuf.ngclient.updater.open", broken, create=True):
            done = machine.install("app")
        assert done.code == 1, done
        assert name in done.err
        assert "Traceback" not in done.err
        assert machine.version_of("app") is None
        assert keep_state(machine) == before
        server.honest()
        server.folder = made.folder
        assert machine.install("app").code == 0


def keep_state(machine: Machine) -> dict[str, bytes]:
    """The metadata that the machine has seen of the repository."""
    state = machine.folder / "data" / "trust" / "made" / "metadata"
    files = (path for path in sorted(state.rglob("*.json")) if not path.is_symlink())
    return {path.name: path.read_bytes() for path in files}


def test_a_repository_that_has_expired_is_refused_with_its_url_and_what_to_do(
    machine: Machine, made: MadeRepository, tmp_path: Path
) -> None:
    """Indefinite freeze: the server shows the same good state again and again."""
    with serve_hostile(made.folder) as server:
        machine.trust(made, server.url)
        assert machine.install("--dry-run", "app").code == 0
        expire(made, tmp_path)
        fooled = machine.pip_install(f"{server.url}simple/", "app")
        assert fooled.code == 0, fooled.err
        machine.remove("app", "lib")
        before = machine.installed()
        done = machine.install("app")
        assert done.code == 3
        assert f"{server.url}metadata/timestamp.json" in done.err
        assert "expired" in done.err
        assert "repo status" in done.err
        assert "ago" in done.err
        assert machine.installed() == before


def test_an_expired_state_that_was_good_when_it_came_is_not_used_without_the_server(
    machine: Machine, made: MadeRepository
) -> None:
    with serve_hostile(made.folder) as server:
        machine.trust(made, server.url)
        assert machine.install("--dry-run", "app").code == 0
        server.withhold("metadata/.*", 503)
        done = machine.install("app")
    assert done.code == 1
    assert machine.version_of("app") is None


def test_old_metadata_among_new_is_refused(
    machine: Machine, made: MadeRepository, tmp_path: Path
) -> None:
    """Mix-and-match: each file was signed, but not at the same time."""
    past = tmp_path / "past"
    shutil.copytree(made.folder, past)
    before = sorted((past / "metadata").iterdir())
    release(made, tmp_path, "3.0")
    after = sorted((made.folder / "metadata").glob("*.*.json"))
    after = [path for path in after if not (past / "metadata" / path.name).exists()]
    names = [path.name for path in after]
    assert any(".bin-" in name for name in names)
    assert any("snapshot" in name for name in names)
    with serve_hostile(made.folder) as server:
        for path in after:
            role = path.name.partition(".")[2]
            old = max(one for one in before if one.name.endswith(f".{role}"))
            if "targets" in role or "claimed" in role or "bins" in role:
                continue
            trusting = Machine(tmp_path / path.name, machine.environment)
            server.folder = past
            trusting.trust(made, server.url)
            server.folder = made.folder
            server.alter(f"metadata/{path.name}", lambda _, old=old: old.read_bytes())  # type: ignore[misc] # bound
            done = trusting.install("app", "lib", "other")
            assert_refused(done, server, f"metadata/{path.name}")
            server.honest()
