"""Change the rooms that decide, one place at a time, and list the changes that no test notices."""

from __future__ import annotations

import argparse
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import datetime, timezone
from pathlib import Path

from tests.mutation.accepted import accepted
from tests.mutation.outcomes import FLOOR, GOAL, Outcome, faults, is_below, read, score
from tests.mutation.rooms import ROOMS

CHECKOUT = Path(__file__).resolve().parents[2]
_MEMORY = Path("/dev/shm")  # noqa: S108
"""A folder in memory: on a disk, tests that write state spend most of their time in flushes."""
_NOT_COPIED = (".git", ".venv*", "scratch", "site", "__pycache__", ".*_cache")


def main() -> int:
    """Run the trials, and return 1 if a result is worse than chance allows."""
    options = _parser().parse_args()
    rooms: list[str] = options.room or list(ROOMS)
    if options.one_room:
        rooms = [random.Random(options.seed).choice(rooms)]
    end = time.monotonic() + 60 * options.minutes
    outcomes: list[Outcome] = []
    for number, room in enumerate(rooms):
        seconds = (end - time.monotonic()) / (len(rooms) - number)
        outcomes += _trial(room, options, seconds)
    return _report(outcomes, rooms, options)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.mutation", description=__doc__)
    add = parser.add_argument
    add("--room", action="append", choices=list(ROOMS), help="default: all, one after the other")
    add("--one-room", action="store_true", help="one of these, which the seed chooses")
    add("--module", action="append", default=[], help="only this one: formats/page.py")
    add("--far", action="store_true", help="with the slower tests that attack a room, too")
    add("--again", action="store_true", help="try only what lives, by the results so far")
    add("--sample", type=int, default=10**9, metavar="N", help="so many changes in each room")
    add(
        "--seed",
        default=datetime.now(timezone.utc).date().isoformat(),
        help="puts the changes in their order (default: the date)",
    )
    add("--minutes", type=float, default=10**6, help="stop after so many")
    add("--each", type=float, default=10**6, help="so many seconds of tests for one change")
    add("--results", type=Path, metavar="FILE", help="keep each outcome there, and go on from it")
    return parser


def _trial(room: str, options: argparse.Namespace, seconds: float) -> list[Outcome]:
    """Try a room in a copy of the checkout, in which its modules are changed one at a time."""
    place = _MEMORY if os.access(_MEMORY, os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="mutation-", dir=place) as folder:
        copy = Path(folder) / "checkout"
        left_out = shutil.ignore_patterns(*_NOT_COPIED)
        shutil.copytree(CHECKOUT, copy, symlinks=True, ignore=left_out)
        results = (options.results or Path(folder) / "results").absolute()
        words = [f"--room={room}", f"--seed={options.seed}", f"--sample={options.sample}"]
        words += [f"--seconds={seconds}", f"--each={options.each}", f"--results={results}"]
        words += [f"--{name}" for name in ("far", "again") if getattr(options, name)]
        words += [f"--module={module}" for module in options.module]
        subprocess.run(
            [sys.executable, "-m", "tests.mutation.trial", *words],
            cwd=copy,
            env={**os.environ, "PYTHONPATH": str(copy / "src"), "TMPDIR": folder},
            check=True,
        )
        return [one for one in read(results) if one.room == room]


def _report(outcomes: Sequence[Outcome], rooms: Sequence[str], options: argparse.Namespace) -> int:
    """Print the result, and return 1 if it is worse than chance allows.

    If a test notices an accepted change, a run for the room of the day only prints it: on a busy
    machine a test can fail for another reason.
    """
    allowed = accepted()
    unreached = sum(one.end == "unreached" for one in outcomes)
    outcomes = [one for one in outcomes if one.end != "unreached"]
    lives = [one for one in outcomes if one.lives and one.key not in allowed]
    for one in sorted(lives, key=lambda one: (one.module, one.line)):
        print(f"{one.end}: {one.module}:{one.line}\n    - {one.before}\n    + {one.after}")
    for room in rooms:
        of_room = [one for one in outcomes if one.room == room]
        missed = sum(one.room == room for one in lives)
        print(f"{room:10} {score(len(of_room) - missed, len(of_room))}")
    killed, wrong = len(outcomes) - len(lives), faults(outcomes, allowed)
    print(f"{'all':10} {score(killed, len(outcomes))}; seed {options.seed}")
    print(f"{unreached} more are in lines that these tests do not reach.")
    print(*wrong, sep="\n")
    for share, word in ((GOAL, "goal"), (FLOOR, "floor")):
        if is_below(share, killed, len(outcomes)):
            print(f"That is below the {word} of {share:.0%}, and not by chance.")
    is_wrong = bool(wrong) and not options.one_room
    return int(is_wrong or is_below(FLOOR, killed, len(outcomes)))


if __name__ == "__main__":
    sys.exit(main())
