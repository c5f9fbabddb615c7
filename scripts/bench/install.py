#!/usr/bin/env python3
"""Measures how long `securepip install` takes, compared with `pip install` on the same network.

    python scripts/bench/install.py            all rows; an hour or two with `data` and `deep`
    python scripts/bench/install.py --quick    all but `deep`, few rounds: at most 12 minutes

Both install the same wheels from one server on this machine: a repository made by `repo add`,
which pip reads by its `simple/` URL. Each page also lists generated older releases (`--releases`),
so that it is as long as a real one. A proxy in front of the server adds a round trip (milliseconds)
to each new connection and to each request, and counts requests and bytes in both directions. No
time makes the run fail. Tables in Markdown go to standard output, progress to standard error.

These scenarios are measured in this order, with the installers taking turns in each:

* cold: empty caches (for securepip also: no metadata seen before), new environment;
* warm: the caches from the cold run, new environment;
* nothing: the same command again, everything is installed;
* upgrade: the same with `-U`, and nothing is newer.

`first-use` is securepip with an index that nobody else signs. uv compiles byte code as the others
do. At the end comes what the plugin adds to commands of pip.

Processor seconds are those of all processes. Memory is the greatest sum (PSS) over the processes of
one run at one moment: memory that processes share, as the copies of pip do, counts once. Beside it
is the peak of the largest single process (VmHWM), which `time -v` shows, too. Both are read every
20 ms, or less often if reading takes longer, so that it uses at most a thirtieth of one processor.
(Without this limit it used an eighth with five processes, which slows down installers that use all
processors, but not pip, which uses one.)

For a fair comparison, the pip that runs is the one that securepip uses, and the target's
interpreter starts it directly, which saves the second start of `pip --python`. It is told to trust
the host, because it would cache nothing from plain http otherwise. Environments are made
beforehand. After each cold and warm run, all installers must have left the same files, including
byte code. On a machine that others use, too, rely on processor seconds, requests and ratios of
times, but not on the times themselves.

securepip and uv are installed into their own environment, as users have them: further packages in a
developer's environment would be imported, too, and take time. The scratch folder keeps that
environment, the wheels and the repository for the next run. It only runs on Linux.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import venv
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from statistics import median
from urllib.parse import urlsplit

from server import CHECKOUT, Wire, make_repository, make_securepip, must, proxy, say, serving

from plugin import measure_commands

SETS = {
    "one": ["six"],
    "small": ["requests"],
    "web": ["flask", "celery"],
    "data": ["jupyterlab", "matplotlib", "celery"],
    "deep": ["jupyterlab", "matplotlib", "celery", "apache-airflow"],
}
SCENARIOS = ("cold", "warm", "nothing", "upgrade")
QUICK_ROUNDS = {"one": 3, "small": 3}
LIMIT_SECONDS = 900
ROOM_BYTES = 20_000_000_000
HEAD = (
    "| set | round trip | run | by | rounds | seconds | ratio | processor | ratio | MB | ratio "
    "| largest process, MB | ratio | requests | kB |\n"
    "|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|"
)


@dataclass(frozen=True)
class Measure:
    """The measurements of one run.

    Attributes:
        seconds: The time that it took.
        processor: The processor seconds of all processes.
        memory: The peak memory of all processes together, in MB.
        largest: The peak memory of the largest process, in MB.
        requests: The requests that passed the proxy.
        bytes: The bytes that passed the proxy, in both directions.
    """

    seconds: float
    processor: float
    memory: float
    largest: float
    requests: int
    bytes: int


@dataclass
class Installer:
    """One of the installers that are compared.

    Attributes:
        name: Its name.
        command: Returns the command line for a target environment and the words to install.
        environment: Returns its environment variables for a folder of caches.
        forget: Resets that folder to its state before the first use of the installer.
        folder: The folder of its caches.
        target: The environment that it installs into now.
        environments: How many environments were made for it.
        measures: The measurements so far, by scenario.
    """

    name: str
    command: Callable[[Path, Sequence[str]], list[str]]
    environment: Callable[[Path], dict[str, str]]
    forget: Callable[[Path], None]
    folder: Path
    target: Path
    environments: int = 0
    measures: dict[str, list[Measure]] = field(default_factory=dict)


def main() -> int:
    arguments = parse()
    scratch = arguments.scratch.absolute()
    scratch.mkdir(parents=True, exist_ok=True)
    end = time.monotonic() + arguments.minutes * 60
    python = make_securepip(scratch)
    securepip = [str(python), "-m", "securepip"]
    sets = {name: SETS[name] for name in arguments.sets}
    repository = make_repository(scratch, securepip, sets, arguments.releases)
    print(
        f"{datetime.now():%Y-%m-%d}, {platform.platform()}, Python {platform.python_version()}, "
        f"{os.cpu_count()} processors, load {os.getloadavg()[0]:.1f} at the beginning; pages with "
        f"{arguments.releases} older releases; medians, ratios are to pip's.\n"
    )
    print(HEAD)
    with ExitStack() as at_the_end, serving(securepip, repository) as url:
        for name in arguments.sets:
            for delay in arguments.delays:
                if time.monotonic() > end:
                    say(f"{arguments.minutes:g} minutes are over: {name}, {delay:g} ms is left out")
                    continue
                temporary = at_the_end.enter_context(tempfile.TemporaryDirectory(dir=scratch))
                with proxy(url, delay / 1000) as (slow_url, wire):
                    installers = make_installers(Path(temporary), python, slow_url, repository)
                    rounds = QUICK_ROUNDS.get(name, 1) if arguments.quick else arguments.rounds
                    for done in range(rounds):
                        if done and time.monotonic() > end:
                            break
                        say(f"{name}, {delay:g} ms, round {done + 1} of {rounds}")
                        one_round(installers, arguments.scenarios, SETS[name], wire)
                    report(installers, name, delay)
        if "one" in arguments.sets:
            measure_commands(scratch, securepip, url, repository, 5 if arguments.quick else 15)
    return 0


def parse() -> argparse.Namespace:
    def words(text: str) -> list[str]:
        return text.split(",")

    def numbers(text: str) -> list[float]:
        return list(map(float, words(text)))

    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sets", type=words, default=list(SETS), help=f"of {','.join(SETS)}")
    parser.add_argument("--scenarios", type=words, default=list(SCENARIOS))
    parser.add_argument(
        "--delays", type=numbers, default=[0.0, 30.0],
        help="milliseconds of round trip that are added",
    )  # fmt: skip
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--releases", type=int, default=200, help="older releases on the page of each project"
    )
    parser.add_argument(
        "--minutes", type=float, default=120, help="begin nothing more when they are over"
    )
    parser.add_argument(
        "--quick", action="store_true",
        help="all sets but `deep`, three rounds of the small and one of the large, shorter pages",
    )  # fmt: skip
    parser.add_argument("--scratch", type=Path, default=CHECKOUT / "scratch" / "bench")
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.sets = [name for name in arguments.sets if name != "deep"]
        arguments.releases, arguments.minutes = 50, min(arguments.minutes, 8)
    return arguments


def one_round(
    installers: Sequence[Installer], scenarios: Sequence[str], words: Sequence[str], wire: Wire
) -> None:
    """Run each scenario once with each installer, by turns."""
    for scenario in SCENARIOS:
        for installer in installers:
            if scenario == "cold":
                installer.forget(installer.folder)
            if scenario in ("cold", "warm"):
                make_environment(installer)
            options = ["-U"] if scenario == "upgrade" else []
            measure = run(
                installer.command(installer.target, [*options, *words]),
                installer.environment(installer.folder),
                wire,
            )
            if scenario in scenarios:
                installer.measures.setdefault(scenario, []).append(measure)
        if scenario in ("cold", "warm"):
            check_same(installers)


def make_environment(installer: Installer) -> None:
    """Make a new environment for an installer.

    The old one is kept if there is room on the disk: for minutes after ten thousand files were
    deleted, ext4 is slow to create new ones.
    """
    if shutil.disk_usage(installer.folder.parent).free < ROOM_BYTES:
        shutil.rmtree(installer.target, ignore_errors=True)
    installer.environments += 1
    installer.target = installer.folder.with_name(f"by-{installer.name}-{installer.environments}")
    venv.create(installer.target, with_pip=False)


def run(command: Sequence[str], environment: Mapping[str, str], wire: Wire) -> Measure:
    before, used = Wire(wire.requests, wire.bytes), os.times()
    began = time.perf_counter()
    with tempfile.TemporaryFile("w+") as output:
        with subprocess.Popen(command, env=environment, stdout=output, stderr=output) as process:
            memory, limit = Memory(process.pid), threading.Timer(LIMIT_SECONDS, process.kill)
            limit.start()
            # Without a time-out: `wait` with one only checks every 50 ms whether the process ended.
            code = process.wait()
            seconds = time.perf_counter() - began
            limit.cancel()
            peak, largest = memory.peak()
        if code:
            output.seek(0)
            sys.exit(f"{command}\n{output.read()}")
    after = os.times()
    processor = after.children_user + after.children_system
    processor -= used.children_user + used.children_system
    moved = wire.requests - before.requests, wire.bytes - before.bytes
    return Measure(seconds, processor, peak, largest, *moved)


class Memory:
    """Measures the memory of a process together with all its child processes, in a thread."""

    def __init__(self, pid: int) -> None:
        self._pid, self._ended = pid, threading.Event()
        self._peak, self._largest = 0.0, 0.0
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def peak(self) -> tuple[float, float]:
        """Stop measuring; the peak of all processes and of the largest one, in MB."""
        self._ended.set()
        self._thread.join()
        return self._peak / 1000, self._largest / 1000

    def _watch(self) -> None:
        took = 0.0
        while not self._ended.wait(max(0.02, 30 * took)):
            began = time.thread_time()
            pids = list(_tree(str(self._pid)))
            self._peak = max(self._peak, sum(_kilobytes(each, "smaps_rollup") for each in pids))
            self._largest = max(self._largest, *(_kilobytes(each, "status") for each in pids))
            took = time.thread_time() - began


def _tree(pid: str) -> Iterator[str]:
    yield pid
    with suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            for child in (task / "children").read_text().split():
                yield from _tree(child)


def _kilobytes(pid: str, file: str) -> float:
    """The memory of a process: its PSS from ``smaps_rollup``, or its peak from ``status``."""
    try:
        lines = Path(f"/proc/{pid}/{file}").read_text().splitlines()
    except OSError:
        return 0
    fields = (line.split() for line in lines if line.startswith(("Pss:", "VmHWM:")))
    return sum(int(words[1]) * 1.024 for words in fields)


def check_same(installers: Sequence[Installer]) -> None:
    """Check that all installers left the same files; for uv, only metadata and byte code."""
    first = installers[0]
    for other in installers[1:]:
        ours = {path for path in files(first.target) if other.name != "uv" or is_common(path)}
        theirs = {path for path in files(other.target) if other.name != "uv" or is_common(path)}
        if ours != theirs:
            differing = "\n".join(sorted(ours ^ theirs)[:20])
            sys.exit(f"{first.name} and {other.name} do not leave the same:\n{differing}")


def files(target: Path) -> Iterator[str]:
    for path in target.rglob("*"):
        if path.is_file():
            yield path.relative_to(target).as_posix()


def is_common(path: str) -> bool:
    return path.endswith((".pyc", ".dist-info/METADATA"))


def report(installers: Sequence[Installer], name: str, delay: float) -> None:
    """Print the medians, and their ratios to those of the first installer."""
    first = installers[0]
    for scenario, measures in first.measures.items():
        base = summary(measures)
        for installer in installers:
            own = summary(installer.measures[scenario])
            print(
                f"| {name} | {delay:g} ms | {scenario} | {installer.name} | {len(measures)} "
                f"| {own.seconds:.2f} | {own.seconds / base.seconds:.2f} "
                f"| {own.processor:.2f} | {own.processor / base.processor:.2f} "
                f"| {own.memory:.0f} | {own.memory / base.memory:.2f} "
                f"| {own.largest:.0f} | {own.largest / base.largest:.2f} "
                f"| {own.requests} | {own.bytes / 1000:.0f} |",
                flush=True,
            )


def summary(measures: Sequence[Measure]) -> Measure:
    return Measure(
        median(one.seconds for one in measures),
        median(one.processor for one in measures),
        median(one.memory for one in measures),
        median(one.largest for one in measures),
        round(median(one.requests for one in measures)),
        round(median(one.bytes for one in measures)),
    )


def make_installers(folder: Path, python: Path, url: str, repository: Path) -> list[Installer]:
    host = urlsplit(url).netloc
    index = ["--index-url", f"{url}simple/"]
    (runner,) = python.parent.parent.glob("lib/python*/site-packages/pip/__pip-runner__.py")
    command = [str(python), "-m", "securepip"]
    clean = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("PIP_", "UV_", "SECUREPIP_", "PYTHON"))
    }
    clean |= {"PIP_CONFIG_FILE": os.devnull, "PIP_DISABLE_PIP_VERSION_CHECK": "1"}

    def pip(target: Path, words: Sequence[str]) -> list[str]:
        return [python_of(target), str(runner), "install", *index, "--trusted-host", host, *words]

    def securepip(target: Path, words: Sequence[str]) -> list[str]:
        return [*command, "install", "--python", str(target), *words]

    def uv(target: Path, words: Sequence[str]) -> list[str]:
        return [str(python.with_name("uv")), "pip", "install", "--compile-bytecode", *index,
                "--python", python_of(target), *words]  # fmt: skip

    def securepip_environment(caches: Path) -> dict[str, str]:
        return {
            **clean,
            "SECUREPIP_DATA_DIR": str(caches / "data"),
            "SECUREPIP_CACHE_DIR": str(caches / "cache"),
        }

    def forget(caches: Path) -> None:
        shutil.rmtree(caches, ignore_errors=True)

    def forget_but_trust(caches: Path) -> None:
        forget(caches)
        fingerprint = hashlib.sha256((repository / "metadata/1.root.json").read_bytes()).hexdigest()
        trust = [*command, "trust", "add", "bench", url, "--root-sha256", fingerprint]
        must(trust, securepip_environment(caches))

    def forget_but_sign(caches: Path) -> None:
        forget(caches)
        sign = [*command, "trust", "first-use", "--index-url", f"{url}simple/"]
        must(sign, securepip_environment(caches))

    def installer(
        name: str,
        command: Callable[[Path, Sequence[str]], list[str]],
        environment: Callable[[Path], dict[str, str]],
        first_time: Callable[[Path], None] = forget,
    ) -> Installer:
        caches, target = folder / f"{name}-caches", folder / f"by-{name}"
        return Installer(name, command, environment, first_time, caches, target)

    return [
        installer("pip", pip, lambda caches: {**clean, "PIP_CACHE_DIR": str(caches)}),
        installer("securepip", securepip, securepip_environment, forget_but_trust),
        installer("first-use", securepip, securepip_environment, forget_but_sign),
        installer("uv", uv, lambda caches: {**clean, "UV_CACHE_DIR": str(caches)}),
    ]


def python_of(environment: Path) -> str:
    return str(environment / "bin" / "python")


if __name__ == "__main__":
    sys.exit(main())
