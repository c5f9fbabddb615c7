"""Some faults of some commands, others each day. ``python -m tests.faults`` tries all."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import tempfile
from datetime import date
from pathlib import Path
from unittest import mock

import pytest

from tests.faults.bench import bench
from tests.faults.injector import ERRORS, KILLED, Fault, Injector
from tests.faults.runner import SCENES, sample
from tests.faults.together import rounds
from tests.support.machine import Finished

SEED = int(os.environ.get("SECUREPIP_SEED", date.today().toordinal()))
SCENES_A_DAY, FAULTS = 3, 8


def test_a_fault_leaves_nothing_invalid_forgets_nothing_and_is_told_in_words() -> None:
    names = random.Random(SEED).sample(sorted(SCENES), SCENES_A_DAY)
    words = ["--jobs=1", f"--some={FAULTS}", f"--seed={SEED}", *names]
    print("SECUREPIP_SEED", SEED, "python -m tests.faults", *words)
    done = subprocess.run(
        [sys.executable, "-m", "tests.faults", *words],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
        timeout=900,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{SCENES_A_DAY * FAULTS} faults" in done.stdout.splitlines()[-1]


@pytest.mark.parametrize("kind", ["open", "create", "read", "write", "name", "flush", "lock"])
def test_a_call_of_each_kind_is_counted_fails_once_and_can_be_the_last(
    tmp_path: Path, kind: str
) -> None:
    code = (
        "import fcntl, os, sys; from pathlib import Path\n"
        "from tests.faults.injector import Fault, Injector\n"
        "folder, kind, error = Path(sys.argv[1]), *sys.argv[2:]\n"
        "Injector([folder], (), Fault(kind, 1, error)).install()\n"
        "for turn in range(3):\n"
        "    try:\n"
        "        with open(folder / f'{turn}', 'w+') as stream:\n"
        "            fcntl.flock(stream, fcntl.LOCK_EX)\n"
        "            stream.write('text'); stream.flush(); os.fsync(stream.fileno())\n"
        "        (folder / f'{turn}').rename(folder / f'done-{turn}')\n"
        "        (folder / f'done-{turn}').read_text()\n"
        "    except OSError as error: print(turn, type(error).__name__, error.errno)\n"
    )

    def run(error: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", code, str(tmp_path), kind, error],
            cwd=Path(__file__).parents[2], capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip

    failed = run(ERRORS[kind][0])
    assert failed.returncode == 0, failed.stderr
    (line,) = failed.stdout.splitlines()
    assert line.startswith("1 "), line
    if ERRORS[kind][-1] == "kill":
        assert run("kill").returncode == KILLED


def test_a_sample_has_faults_of_every_kind_and_no_fault_twice() -> None:
    faults = [
        Fault(kind, number, error)
        for kind, errors in ERRORS.items()
        for number in range(20 if kind == "look" else 2)
        for error in errors
    ]
    chosen = sample(faults, 40, SEED)
    assert len(set(chosen)) == 40
    assert {fault.kind for fault in chosen} == set(ERRORS)
    assert chosen == sample(faults, 40, SEED)


def test_what_is_no_state_is_not_counted(tmp_path: Path) -> None:
    injector = Injector([tmp_path], [tmp_path / "other"])
    injector._active = True
    injector.check("open", tmp_path / "other" / "file")
    injector.check("open", Path(os.devnull))
    assert not injector.calls
    injector.check("open", tmp_path / "file")
    assert [call.kind for call in injector.calls] == ["open"]


def test_what_is_temporary_is_counted(empty_environment: Path, tmp_path: Path) -> None:
    """A disk is most often full in the folder of temporary files."""
    assert tempfile.gettempdir()  # it is known already, as in a process that has run something else

    def work() -> Finished:
        with mock.patch.dict(os.environ, place.machine.variables), tempfile.TemporaryFile() as one:
            one.write(b"text")
        return Finished(0, "", "")

    with bench(tmp_path / "bench", empty_environment) as place:
        kinds = {call.kind for call in place.run(work).calls}
    assert "create" in kinds


def test_installs_at_once_on_one_home_all_come_to_their_end(
    empty_environment: Path, tmp_path: Path
) -> None:
    assert rounds(tmp_path / "all", empty_environment, installs=5, times=1) == []
