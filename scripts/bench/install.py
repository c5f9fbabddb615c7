#!/usr/bin/env python3
"""How long does `securepip install` take, compared with `pip install`, over the same network?

    python scripts/bench/install.py            all rows; an hour or two with `data` and `deep`
    python scripts/bench/install.py --quick    all but `deep`, few rounds: at most 12 minutes

Both install the same wheels from one server on this machine: a repository made by `repo add`,
which pip reads by its `simple/` URL. Each page also lists made older releases, so that it is as
long as real ones are (`--releases`). A proxy in front of it adds a round trip (milliseconds) to
each new connection and to each request, and counts requests and bytes in both directions. Nothing
here judges a time. Tables in Markdown go to standard output, what is under way to standard error.

What is measured, in this order, the installers taking turns in each:

* cold: empty caches (for securepip also: no metadata seen before), new environment;
* warm: the caches that the cold run has left, new environment;
* nothing: the same command again, everything is installed;
* upgrade: the same with `-U`, and there is nothing newer.

`first-use` is securepip where nobody else signs: it signs what that index shows. uv compiles byte
code as the others do. Last comes what the plugin adds to a pip that fetches, and to one that does
not. Processor seconds are those of all processes; memory is the largest sum of what the processes
of one run have in use at a time (PSS): a page that several share counts once, a part in each, as
the copies of one pip share nearly all of theirs. Beside it is the largest single process (its
VmHWM), which is what `time -v` shows of one. Both are looked at each 20 ms, and less often where
looking takes longer: it may have a thirtieth of one processor. With five processes it had an
eighth, which slows down those that use all processors, and not pip, which uses one.

Fairness: the pip that runs is the one that securepip hands over to, started by the target's
interpreter directly, which spares it the second start of `pip --python`. It is told to trust the
host, because it caches nothing from plain http otherwise. Environments are made beforehand. After
each cold and warm run all must have left the same files, byte code included. On a machine that
others use, too, believe the processor seconds and the requests; and no time, only ratios.

securepip and uv are installed into an environment of their own, as users have them: what a
developer has beside them is imported, too, and takes time. The scratch folder keeps it, the wheels
and the repository for the next time. Linux alone.
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
    """One run.

    Attributes:
        seconds: That it took.
        processor: Seconds of all processors.
        memory: MB of all processes.
        largest: MB of the largest process.
        requests: Over the wire.
        bytes: Over the wire.
    """

    seconds: float
    processor: float
    memory: float
    largest: float
    requests: int
    bytes: int


@dataclass
class Installer:
    """One of those compared.

    Attributes:
        name: Its name.
        command: The command line for a target environment and what to install.
        environment: Its environment variables, given the folder of its caches.
        forget: Makes that folder what it is for somebody who uses the installer the first time.
        folder: That folder.
        target: The environment it installs into now.
        environments: How many it has had.
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
    """Each scenario once with each installer, by turns."""
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
    """Give it a new environment to install into.

    The old one is kept to the end where there is room: for minutes after ten thousand files are
    removed, ext4 looks over the places of all of them for each file that it makes.
    """
    if shutil.disk_usage(installer.folder.parent).free < ROOM_BYTES:
        shutil.rmtree(installer.target, ignore_errors=True)
    installer.environments += 1
    installer.target = installer.folder.with_name(f"by-{installer.name}-{installer.environments}")
    venv.create(installer.target, with_pip=False)


def run(command: Sequence[str], environment: Mapping[str, str], wire: Wire) -> Measure:
    before, used = Wire(wire.requests, wire.bytes), os.times()
    began = time.perf_counter()
    with tempfile.TemporaryFile("w+") as said:
        with subprocess.Popen(command, env=environment, stdout=said, stderr=said) as process:
            memory, limit = Memory(process.pid), threading.Timer(LIMIT_SECONDS, process.kill)
            limit.start()
            # A wait with a time-out looks each 50 ms alone whether the process has ended.
            code = process.wait()
            seconds = time.perf_counter() - began
            limit.cancel()
            peak, largest = memory.peak()
        if code:
            said.seek(0)
            sys.exit(f"{command}\n{said.read()}")
    now = os.times()
    processor = now.children_user + now.children_system - used.children_user - used.children_system
    moved = wire.requests - before.requests, wire.bytes - before.bytes
    return Measure(seconds, processor, peak, largest, *moved)


class Memory:
    """Watches how much memory a process and all that it starts have in use together."""

    def __init__(self, pid: int) -> None:
        self._pid, self._ended = pid, threading.Event()
        self._peak, self._largest = 0.0, 0.0
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def peak(self) -> tuple[float, float]:
        """The most that it was, and the most of one process, in MB; ends watching."""
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
    """What a file of a process says of its memory: its part, or the most that it ever had."""
    try:
        lines = Path(f"/proc/{pid}/{file}").read_text().splitlines()
    except OSError:
        return 0
    found = (line.split() for line in lines if line.startswith(("Pss:", "VmHWM:")))
    return sum(int(words[1]) * 1.024 for words in found)


def check_same(installers: Sequence[Installer]) -> None:
    """All have left the same distributions and the same byte code; pip and securepip all files."""
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
    """Rows of medians, and the ratios to the first installer's."""
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
