"""The progress of downloads: bars on a terminal, and plain lines elsewhere."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator

import pytest

from tests.support.hostile import HostileServer, serve_hostile
from tests.support.machine import Machine
from tests.support.repositories import MadeRepository, make_repository
from tests.support.terminal import run_in_terminal
from tests.support.wheels import make_wheel

SIZE = 1_200_000
SECONDS = 1.5


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> MadeRepository:
    """``heavy`` and ``solid``, which it requires: more than a megabyte each."""
    folder = tmp_path_factory.mktemp("large")
    ballast = {"ballast.bin": os.urandom(SIZE)}
    return make_repository(
        folder / "repository",
        make_wheel(folder, "heavy", "1.0", requires=["solid"], files=ballast),
        make_wheel(folder, "solid", "1.0", files={"rock.bin": os.urandom(SIZE)}),
    )


def slowly(data: bytes) -> Iterator[bytes]:
    """Send ``data`` in pieces, over some seconds."""
    step = len(data) // 20
    for at in range(0, len(data), step):
        yield data[at : at + step]
        time.sleep(SECONDS / 20)


@pytest.fixture
def slow(large: MadeRepository, machine: Machine) -> Iterator[HostileServer]:
    """A server for ``large``, which sends wheels slowly, and a machine that trusts it."""
    with serve_hostile(large.folder) as server:
        machine.trust(large, server.url, "company")
        server.alter(r"packages/.*\.whl", slowly)
        yield server


def seen(machine: Machine, columns: int, *words: str, **variables: str) -> str:
    """The output of a download in a terminal of so many columns."""
    command = ("download", "-d", str(machine.folder / "got"), *words)
    done = run_in_terminal(machine, *command, columns=columns, **variables)
    assert done.code == 0, done.out
    return done.out


ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def test_a_terminal_shows_each_download_with_size_speed_and_time_left_and_a_total(
    slow: HostileServer, machine: Machine
) -> None:
    written = seen(machine, 100, "heavy")
    plain = ESCAPES.sub("", written)
    for name in ("heavy", "solid"):
        assert f"Downloading {name}-1.0-py3-none-any.whl (1.2 MB)" in plain
        assert re.search(rf"{name}\S* +\S* +\d\.\d/1\.2 MB +[\d.]+ [kM]B/s +0:00:0\d", plain), plain
    assert re.search(r"Total of 2 files +\S* +\d\.\d/2\.4 MB", plain)
    # What moved is gone in the end, and only lines are left.
    assert "Successfully downloaded heavy solid" in plain.splitlines()[-1]
    assert "\x1b[3" in written


@pytest.mark.parametrize(
    ("columns", "words", "variables", "moves"),
    [
        (40, (), {}, True),
        (80, (), {"NO_COLOR": "1"}, True),
        (80, ("--no-color",), {}, True),
        (80, ("--progress-bar=off",), {}, False),
        (80, ("--quiet",), {}, False),
    ],
)
def test_what_moves_fits_and_can_be_switched_off(
    slow: HostileServer,
    machine: Machine,
    columns: int,
    words: tuple[str, ...],
    variables: dict[str, str],
    *,
    moves: bool,
) -> None:
    written = seen(machine, columns, "--no-deps", "heavy", *words, **variables)
    assert bool(re.search(r"\d\.\d/1\.2 MB", written)) == moves
    if not moves:
        assert "\x1b" not in written
    if variables or "--no-color" in words:
        assert not re.search(r"\x1b\[[0-9;]*m", written.replace("\x1b[0m", ""))
    for line in ESCAPES.sub("", written).replace("\r", "\n").splitlines():
        assert "/1.2 MB" not in line or len(line) <= columns


def test_without_a_terminal_there_are_lines_and_nothing_moves(
    large: MadeRepository, machine: Machine
) -> None:
    machine.trust(large, large.folder.as_uri(), "company")
    target = ("download", "-d", machine.folder / "got", "heavy")
    done = machine.run(*target)
    assert "Downloading heavy-1.0-py3-none-any.whl (1.2 MB)\n" in done.out
    assert "\x1b" not in done.out + done.err
    assert "Using cached heavy-1.0-py3-none-any.whl (1.2 MB)\n" in machine.run(*target).out
    assert machine.run(*target, "--quiet").out == ""
    raw = machine.run(*target, "--progress-bar=raw", "--no-cache-dir")
    assert re.search(r"(?m)^Progress 24\d+ of (24\d+)$", raw.out)
    assert "Progress" not in machine.run(*target, "--progress-bar=raw", "--no-cache-dir", "-q").out


def test_a_reader_that_has_seen_enough_has_its_first_line_and_hears_no_complaint(
    slow: HostileServer, machine: Machine
) -> None:
    command = ("download", "-d", machine.folder / "got", "heavy")
    with machine.start(*command) as process:
        assert process.stdout is not None and process.stderr is not None
        assert process.stdout.readline() == "Collecting heavy\n"
        process.stdout.close()
        complaints = process.stderr.read()
        assert process.wait(60) == 120
    assert complaints == "ERROR: Pipe to stdout was broken\n"


def test_who_does_not_answer_is_named_while_it_is_waited_for(
    slow: HostileServer, machine: Machine
) -> None:
    slow.withhold("metadata/timestamp.json", 503)
    words = ("download", "-d", str(machine.folder / "got"), "heavy")
    done = machine.run(*words, PIP_RETRIES="2")
    assert done.code == 1
    said = [line for line in done.err.splitlines() if "trying again" in line]
    assert said[0].startswith("company (") and said[0].endswith("answers 503, trying again")
    assert said[1].endswith("answers 503, trying again in 0.5 s")
    assert "trying again" not in done.out
