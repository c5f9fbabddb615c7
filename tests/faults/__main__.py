"""Try each fault, and print their numbers."""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.faults.injector import ERRORS
from tests.faults.runner import SCENES, Found, environment_in, from_json, to_json, try_all, try_some

_HERE = "--in-this-process"


def main() -> int:
    """Run these scenes, or all, and return 1 if one has failed."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("scenes", nargs="*", metavar="SCENE", help=", ".join(SCENES))
    parser.add_argument("--jobs", type=int, default=2, help="scenes at a time (default: 2)")
    parser.add_argument("--kind", action="append", default=[], choices=list(ERRORS))
    parser.add_argument("--some", type=int, help="only so many faults of each scene, at random")
    parser.add_argument("--seed", type=int, default=0, help="chooses them")
    parser.add_argument(_HERE, dest="here", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    names = options.scenes or list(SCENES)
    unknown = [name for name in names if name not in SCENES]
    if unknown:
        parser.error(f"no such scene: {', '.join(unknown)}")
    if options.here:
        print(to_json(_try(names[0], options)))
        return 0
    words = [f"--kind={kind}" for kind in options.kind] + [f"--seed={options.seed}"]
    if options.some:
        words.append(f"--some={options.some}")
    with ThreadPoolExecutor(options.jobs) as pool:
        found = list(pool.map(lambda name: _start(name, words), names))
    print(f"{'all':18} {_line(found)}")
    return int(any(each.wrong for each in found))


def _start(name: str, words: list[str]) -> Found:
    command = [sys.executable, "-m", "tests.faults", _HERE, name, *words]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    found = from_json(done.stdout.splitlines()[-1])
    print(f"{name:18} {_line([found])}", flush=True)
    for each in found.wrong:
        print(f"  {each}", flush=True)
    return found


def _try(name: str, options: argparse.Namespace) -> Found:
    with tempfile.TemporaryDirectory(prefix="securepip-faults-") as folder:
        environment = environment_in(Path(folder) / "empty")
        place = Path(folder) / name
        if options.some:
            return try_some(name, place, environment, options.some, options.seed)
        return try_all(name, place, environment, options.kind)


def _line(found: list[Found]) -> str:
    calls = sum(sum(each.calls.values()) for each in found)
    cases, missed = sum(each.cases for each in found), sum(each.missed for each in found)
    survived, wrong = sum(each.survived for each in found), sum(len(each.wrong) for each in found)
    return (
        f"{calls:6} calls {cases:6} faults {missed:4} missed {survived:6} survived {wrong:4} wrong"
    )


if __name__ == "__main__":
    sys.exit(main())
