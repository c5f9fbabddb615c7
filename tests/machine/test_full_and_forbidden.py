"""A full disk, a folder without permission, a closed output: named, got round, never a defect."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from securepip.trust import TrustStore
from tests.support.hostile import HostileServer, serve_hostile
from tests.support.machine import Finished, Machine, like_anybody
from tests.support.repositories import MadeRepository
from tests.support.wheels import make_sdist, make_wheel

_PYTHONPATH = str(Path(__file__).parents[2] / "src")


@pytest.fixture
def anybody(client: Machine) -> Machine:
    """A machine of a user whom permissions stop."""
    client.before = like_anybody()
    return client


@pytest.fixture
def locked() -> Iterator[Callable[[Path, int], None]]:
    """Takes permissions of a folder away, and gives them back at the end."""
    taken: list[Path] = []

    def lock(folder: Path, mode: int) -> None:
        taken.append(folder)
        folder.chmod(mode)

    yield lock
    for folder in taken:
        folder.chmod(0o700)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A folder on a disk of 8 kilobytes."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount, unmount = shutil.which("mount"), shutil.which("umount")
    words = [str(mount), "-t", "tmpfs", "-o", "mode=700,size=8k", "tmpfs", str(folder)]
    if (
        not mount
        or not unmount
        or os.geteuid()
        or subprocess.run(words, check=False, capture_output=True).returncode
    ):
        pytest.skip("only who may mount a disk can fill one")
    yield folder
    subprocess.run([unmount, "-l", str(folder)], check=True)


def _install(machine: Machine, *words: str | Path, **variables: str) -> Finished:
    done = machine.process("install", "--python", machine.environment, *words, **variables)
    assert "defect" not in done.err
    assert "Traceback" not in done.err
    return done


@pytest.mark.parametrize("below", ["cache", "cache/store/incoming"])
def test_without_a_cache_that_can_be_written_it_goes_on(
    anybody: Machine, locked: Callable[[Path, int], None], below: str
) -> None:
    folder = anybody.folder / below
    if below == "cache":
        folder.mkdir(mode=0o700)
    else:
        assert _install(anybody, "lib").code == 0
    locked(folder, 0o500)
    # The byte code has a folder of its own, which goes on where only the store is locked.
    watched = anybody.folder / ("cache" if below == "cache" else "cache/store")
    before = sorted(watched.rglob("*"))
    done = _install(anybody, "app")
    assert done.code == 0, done.err
    assert str(folder) in done.err
    assert "The cache has been disabled" in done.err
    assert sorted(watched.rglob("*")) == before


def test_on_a_full_disk_nothing_is_kept_and_everything_is_installed(
    machine: Machine, made: MadeRepository, small_disk: Path, tmp_path: Path
) -> None:
    made.add(
        make_sdist(tmp_path / "built", "built", "1.0"),
        make_wheel(tmp_path / "built", "large", "1.0", files={"large.bin": os.urandom(50_000)}),
    )
    machine.trust(made, str(made.folder))
    done = _install(machine, "built", "large", SECUREPIP_CACHE_DIR=str(small_disk))
    assert done.code == 0, done.err
    assert f"the cache {small_disk / 'store'} cannot be written" in done.err
    assert f"{small_disk / 'wheels'} cannot be written" in done.err
    assert {"built==1.0", "large==1.0"} <= set(machine.freeze())


def test_a_full_folder_for_temporary_files_is_named(
    machine: Machine, made: MadeRepository, small_disk: Path, tmp_path: Path
) -> None:
    made.add(make_wheel(tmp_path / "b", "large", "1.0", files={"large.bin": os.urandom(50_000)}))
    machine.trust(made, str(made.folder))
    done = _install(machine, "large", TMPDIR=str(small_disk))
    assert done.code == 1
    assert str(small_disk) in done.err
    assert "TMPDIR" in done.err


def test_state_that_cannot_be_written_is_named_with_the_ways_out(
    anybody: Machine, locked: Callable[[Path, int], None]
) -> None:
    locked(anybody.folder / "data" / "trust" / "made", 0o500)
    locked(anybody.folder / "data", 0o500)
    gateway = anybody.process("gateway", "--", "true")
    for done in (_install(anybody, "app"), gateway):
        assert done.code == 1
        assert str(anybody.folder / "data") in done.err
        assert "SECUREPIP_DATA_DIR" in done.err
        assert "--read-only-state" in done.err
        assert "defect" not in done.err


def test_read_only_state_protects_from_all_that_it_has_seen_and_stays_as_it_is(
    machine: Machine, made: MadeRepository, tmp_path: Path
) -> None:
    old = tmp_path / "old"
    shutil.copytree(made.folder, old)
    made.add(make_wheel(tmp_path / "built", "new", "1.0"))
    with serve_hostile(made.folder) as server:
        machine.trust(made, server.url)
        assert machine.install("lib").code == 0
        state = _files(machine.folder / "data" / "trust")
        made.add(make_wheel(tmp_path / "built", "newer", "1.0"))
        done = machine.install("--read-only-state", "newer")
        assert done.code == 0, done.err
        assert "is not remembered" in done.err
        assert machine.run("gateway", "--read-only-state", "--", "true").code == 0
        server.folder = old
        replayed = machine.install("--read-only-state", "app")
        believed = TrustStore(machine.folder / "data" / "trust").read()
        (copied,) = believed.with_state_copied_to(tmp_path / "copied").repositories
    assert replayed.code == 3
    assert machine.version_of("app") is None
    assert _files(machine.folder / "data" / "trust") == state
    # All that protects, whatever it is called.
    kept = {path: data for path, data in state.items() if "/metadata/" in path and data}
    assert sorted(_files(copied.state).values()) == sorted(kept.values())


def _files(folder: Path) -> dict[str, bytes]:
    return {str(each): each.read_bytes() for each in sorted(folder.rglob("*")) if each.is_file()}


@pytest.mark.parametrize("what", ["interpreter", "wheel", "target"])
def test_what_may_not_be_read_is_named(
    anybody: Machine, locked: Callable[[Path, int], None], tmp_path: Path, what: str
) -> None:
    folder = tmp_path / "locked"
    wheel = make_wheel(folder, "own", "1.0")
    words: dict[str, list[str | Path]] = {
        "interpreter": ["--python", folder / "bin" / "python", "app"],
        "wheel": [wheel],
        "target": ["--target", folder / "target", "app"],
    }
    locked(folder, 0)
    done = _install(anybody, *words[what])
    assert done.code == 1
    assert f"{folder}/" in done.err
    assert "Permission denied" in done.err


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
@pytest.mark.parametrize("words", [["trust", "list"], ["install", "--dry-run", "app"]])
def test_an_output_that_takes_no_more_is_an_error_in_words(
    client: Machine, hostile: HostileServer, words: list[str]
) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "securepip", *words],
            env={**client.variables, "PYTHONPATH": _PYTHONPATH},
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert done.returncode == 1
    assert done.stderr.startswith("ERROR: standard output cannot be written: No space left")
    assert "defect" not in done.stderr
