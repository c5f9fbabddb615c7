"""Tries one room, in a copy of the checkout: ``python -m tests.mutation`` starts it there."""

from __future__ import annotations

import argparse
import random
import sys
import time
from pathlib import Path

import pytest

from tests.mutation.judge import Judge
from tests.mutation.mutants import Mutant, mutants
from tests.mutation.outcomes import Outcome, read
from tests.mutation.rooms import ROOMS

TESTS = Path(__file__).resolve().parents[1]


def main() -> int:
    """Try the changes that have no outcome yet, in the seed's order."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--room", required=True)
    parser.add_argument("--seed", required=True)
    parser.add_argument("--sample", type=int, required=True)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--each", type=float, required=True)
    parser.add_argument("--results", type=Path, required=True)
    parser.add_argument("--module", action="append", default=[])
    parser.add_argument("--far", action="store_true")
    parser.add_argument("--again", action="store_true")
    options = parser.parse_args()
    until = time.monotonic() + options.seconds
    room = ROOMS[options.room]
    every = [
        mutant
        for module in room.modules()
        if module in options.module or not options.module
        for mutant in mutants(module)
    ]
    random.Random(options.seed).shuffle(every)
    known = {(*one.key, one.nth): one.lives for one in read(options.results)}
    tests = (*room.near, *(room.far if options.far else ()))
    wanted = True if options.again else None
    chosen = [one for one in every[: options.sample] if known.get(one.place) is wanted]
    with options.results.open("a", encoding="utf-8") as file:

        def say(mutant: Mutant, end: str, by: str) -> None:
            place = (options.room, mutant.module, mutant.lines[0], mutant.before, mutant.after)
            file.write(Outcome(*place, end, by, mutant.nth).written())
            file.flush()

        judge = Judge(chosen, until, options.each, say)
        words = ["-q", "-p", "no:cacheprovider", *(str(TESTS / name) for name in tests)]
        code = pytest.main(words, plugins=[judge])
    for name in judge.unfit:
        print(f"judges nothing, as it fails here without a change: {name}")
    return int(code)


if __name__ == "__main__":
    sys.exit(main())
