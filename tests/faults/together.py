"""Runs many installs at once on one home, again and again: they share state, cache and locks.

    python -m tests.faults.together [--installs 20] [--times 50]

Rule: each install succeeds, in its own environment, with the signed files. Between the rounds the
repository publishes, so that each round has new state to write.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
import traceback
from pathlib import Path

from tests.faults.runner import environment_in
from tests.support.hostile import serve_hostile
from tests.support.machine import Machine
from tests.support.repositories import make_repository
from tests.support.wheels import make_wheel


def rounds(folder: Path, environment: Path, installs: int, times: int) -> list[str]:
    """Run the rounds, and describe what was wrong.

    Args:
        folder: The folder for everything.
        environment: An empty environment.
        installs: The number of installs at once.
        times: The number of rounds.
    """
    built = folder / "built"
    made = make_repository(
        folder / "repository", make_wheel(built, "app", "1.0"), make_wheel(built, "lib", "1.0")
    )
    (folder / "machine").mkdir(parents=True)
    machine = Machine(folder / "machine", environment)
    wrong: list[str] = []
    with serve_hostile(made.folder) as server:
        machine.trust(made, server.url)
        for turn in range(1, times + 1):
            made.add(make_wheel(built, "app", f"1.{turn}", requires=["lib"]))
            if turn % 5 == 0:
                shutil.rmtree(machine.folder / "cache", ignore_errors=True)
            wrong += [
                f"round {turn}: {each}" for each in _at_once(machine, environment, installs, turn)
            ]
    return wrong


def _at_once(machine: Machine, environment: Path, installs: int, turn: int) -> list[str]:
    children = []
    for number in range(installs):
        target = machine.folder / f"environment-{number}"
        shutil.copytree(environment, target, symlinks=True)
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            problem = ""
            try:
                problem = _install(machine, target, turn)
            except BaseException:
                problem = traceback.format_exc()
            finally:
                os.write(writing, problem.encode()[-4000:])
                os._exit(0)
        os.close(writing)
        children.append((child, reading, target))
    wrong: list[str] = []
    for child, reading, target in children:
        with os.fdopen(reading, errors="replace") as stream:
            wrong += filter(None, [stream.read()])
        os.waitpid(child, 0)
        shutil.rmtree(target)
    return wrong


def _install(machine: Machine, target: Path, turn: int) -> str:
    done = machine.run("install", "--python", target, "--no-compile", "app")
    if done.code:
        return f"exit code {done.code}: {done.err}"
    (folder,) = (target / "lib").glob("python*/site-packages")
    said = (folder / "app" / "__init__.py").read_text()
    return "" if said == f"VERSION = '1.{turn}'\n" else f"another app: {said}"


def main() -> int:
    """Run the rounds, and return 1 if something was wrong."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.together", description=__doc__)
    parser.add_argument("--installs", type=int, default=20, help="at once (default: 20)")
    parser.add_argument("--times", type=int, default=50, help="how often (default: 50)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="securepip-together-") as folder:
        environment = environment_in(Path(folder) / "empty")
        wrong = rounds(Path(folder) / "all", environment, options.installs, options.times)
    print(*wrong, sep="\n")
    print(f"{options.times} times {options.installs} installs at once, {len(wrong)} wrong")
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
