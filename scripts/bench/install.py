#!/usr/bin/env python3
"""How long does `securepip install` take, compared with `pip install`, over the same network?

    python scripts/bench/install.py            all rows; an hour where `data` is among them
    python scripts/bench/install.py --quick    one small package and five, some minutes

Both install the same wheels from one server on this machine: a repository made by `repo add`,
which pip reads by its `simple/` URL. Each page also lists made older releases, so that it is as
long as real ones are (`--releases`). A proxy in front of it adds a round trip (milliseconds) to
each new connection and to each request, and counts requests and bytes in both directions. Nothing
here judges a time; it prints medians, and the ratio to pip's.

What is measured, in this order, the installers taking turns in each:

* cold: empty caches (for securepip also: no metadata seen before), new environment;
* warm: the caches that the cold run has left, new environment;
* nothing: the same command again, everything is installed;
* upgrade: the same with `-U`, and there is nothing newer.

`first-use` is securepip where nobody else signs: it signs what that index shows. uv takes part
where it is installed.

Fairness: the pip that runs is the one that securepip hands over to, started by the target's
interpreter directly, which spares it the second start of `pip --python`. It is told to trust the
host, because it caches nothing from plain http otherwise. Environments are made beforehand. After
each cold and warm run all must have left the same files, byte code included. On a machine that
others use, too, believe the processor seconds and the requests; and no time, only ratios.

Run it with a Python that has securepip installed. The scratch folder keeps the wheels, which are
downloaded once.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import importlib.util
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import venv
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from statistics import median
from urllib.parse import urlsplit

CHECKOUT = Path(__file__).resolve().parent.parent.parent
SETS = {
    "one": ["six"],
    "small": ["requests"],
    "web": ["flask", "celery"],
    "data": ["jupyterlab", "matplotlib", "celery"],
}
SCENARIOS = ("cold", "warm", "nothing", "upgrade")
LIMIT_SECONDS = 600
SECUREPIP = [sys.executable, "-m", "securepip"]


@dataclass
class Wire:
    """What has gone through the proxy: requests, and bytes in both directions."""

    requests: int = 0
    bytes: int = 0


@dataclass(frozen=True)
class Measure:
    """One run: seconds that it took, seconds of all processors, and what went over the wire."""

    seconds: float
    processor: float
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
    """

    name: str
    command: Callable[[Path, Sequence[str]], list[str]]
    environment: Callable[[Path], dict[str, str]]
    forget: Callable[[Path], None]
    folder: Path
    target: Path
    measures: dict[str, list[Measure]] = field(default_factory=dict)


def main() -> int:
    arguments = parse()
    scratch = arguments.scratch.absolute()
    scratch.mkdir(parents=True, exist_ok=True)
    print(
        f"{datetime.now():%Y-%m-%d}, {platform.platform()}, Python {platform.python_version()}, "
        f"{os.cpu_count()} processors, load {os.getloadavg()[0]:.1f}"
    )
    sets = [SETS[name] for name in arguments.sets]
    repository = make_repository(scratch, sets, arguments.releases)
    end = time.monotonic() + arguments.minutes * 60
    with serving(repository) as url:
        for name in arguments.sets:
            for delay in arguments.delays:
                with (
                    proxy(url, delay / 1000) as (slow_url, wire),
                    tempfile.TemporaryDirectory(dir=scratch) as temporary,
                ):
                    installers = make_installers(Path(temporary), slow_url, repository)
                    for done in range(arguments.rounds):
                        if done and time.monotonic() > end:
                            break
                        one_round(installers, arguments.scenarios, SETS[name], wire)
                    report(installers, f"{name}: {' '.join(SETS[name])}, {delay:g} ms")
                if time.monotonic() > end:
                    print(f"\n{arguments.minutes:g} minutes are over: the rest is not measured.")
                    return 0
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
        "--minutes", type=float, default=60, help="begin nothing more when they are over"
    )
    parser.add_argument("--quick", action="store_true", help="two sets, one round, shorter pages")
    parser.add_argument("--scratch", type=Path, default=CHECKOUT / "scratch" / "bench")
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.sets, arguments.rounds, arguments.releases = ["one", "small"], 1, 50
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
                shutil.rmtree(installer.target, ignore_errors=True)
                venv.create(installer.target, with_pip=False, symlinks=os.name != "nt")
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


def run(command: Sequence[str], environment: Mapping[str, str], wire: Wire) -> Measure:
    before = Wire(wire.requests, wire.bytes)
    used = os.times()
    began = time.perf_counter()
    done = subprocess.run(
        command,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=LIMIT_SECONDS,
    )
    seconds = time.perf_counter() - began
    now = os.times()
    if done.returncode:
        sys.exit(f"{command}\n{done.stdout}{done.stderr}")
    processor = now.children_user + now.children_system - used.children_user - used.children_system
    return Measure(seconds, processor, wire.requests - before.requests, wire.bytes - before.bytes)


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


def report(installers: Sequence[Installer], title: str) -> None:
    """Medians, and the ratio to the first installer's."""
    print(f"\n== {title}")
    print(
        f"{'':10}{'':11}{'seconds':>8}{'ratio':>7}{'cpu':>8}{'ratio':>7}{'requests':>10}{'kB':>10}"
    )
    first = installers[0]
    for scenario in first.measures:
        base = summary(first.measures[scenario])
        for installer in installers:
            own = summary(installer.measures[scenario])
            print(
                f"{scenario:10}{installer.name:11}{own.seconds:8.2f}"
                f"{own.seconds / base.seconds:7.2f}{own.processor:8.2f}"
                f"{own.processor / base.processor:7.2f}{own.requests:10}{own.bytes / 1000:10.1f}",
                flush=True,
            )


def summary(measures: Sequence[Measure]) -> Measure:
    return Measure(
        median(one.seconds for one in measures),
        median(one.processor for one in measures),
        round(median(one.requests for one in measures)),
        round(median(one.bytes for one in measures)),
    )


def make_installers(folder: Path, url: str, repository: Path) -> list[Installer]:
    host = urlsplit(url).netloc
    beside = str(Path(sys.executable).parent)
    uv_program = shutil.which("uv", path=f"{beside}{os.pathsep}{os.environ.get('PATH', '')}")
    index = ["--index-url", f"{url}simple/"]
    spec = importlib.util.find_spec("pip")
    assert spec is not None
    assert spec.origin is not None
    runner = str(Path(spec.origin).with_name("__pip-runner__.py"))
    clean = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("PIP_", "UV_", "SECUREPIP_", "PYTHON"))
    }
    clean |= {"PIP_CONFIG_FILE": os.devnull, "PIP_DISABLE_PIP_VERSION_CHECK": "1"}

    def pip(target: Path, words: Sequence[str]) -> list[str]:
        return [python_of(target), runner, "install", *index, "--trusted-host", host, *words]

    def securepip(target: Path, words: Sequence[str]) -> list[str]:
        return [*SECUREPIP, "install", "--python", str(target), *words]

    def uv(target: Path, words: Sequence[str]) -> list[str]:
        return [str(uv_program), "pip", "install", "--compile-bytecode", *index, "--python",
                python_of(target), *words]  # fmt: skip

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
        trust = [*SECUREPIP, "trust", "add", "bench", url, "--root-sha256", fingerprint]
        must(trust, securepip_environment(caches))

    def forget_but_sign(caches: Path) -> None:
        forget(caches)
        sign = [*SECUREPIP, "trust", "first-use", "--index-url", f"{url}simple/"]
        must(sign, securepip_environment(caches))

    def installer(
        name: str,
        command: Callable[[Path, Sequence[str]], list[str]],
        environment: Callable[[Path], dict[str, str]],
        first_time: Callable[[Path], None] = forget,
    ) -> Installer:
        caches, target = folder / f"{name}-caches", folder / f"by-{name}"
        return Installer(name, command, environment, first_time, caches, target)

    made = [
        installer("pip", pip, lambda caches: {**clean, "PIP_CACHE_DIR": str(caches)}),
        installer("securepip", securepip, securepip_environment, forget_but_trust),
    ]
    made.append(installer("first-use", securepip, securepip_environment, forget_but_sign))
    if uv_program:
        made.append(installer("uv", uv, lambda caches: {**clean, "UV_CACHE_DIR": str(caches)}))
    return made


def python_of(environment: Path) -> str:
    return str(environment / ("Scripts" if os.name == "nt" else "bin") / "python")


def make_repository(scratch: Path, sets: Sequence[Sequence[str]], releases: int) -> Path:
    """A signed repository of the wheels that pip would install for each set."""
    wheels = scratch / "wheels"
    for words in sets:
        done = wheels / f".{'-'.join(words)}"
        if not done.exists():
            print(f"Downloading {' '.join(words)}", flush=True)
            download = ["download", "--quiet", "--dest", str(wheels), "--only-binary=:all:"]
            must([sys.executable, "-m", "pip", *download, *words], dict(os.environ))
            done.touch()
    repository = scratch / "repository"
    shutil.rmtree(repository, ignore_errors=True)
    environment = {
        **os.environ,
        "SECUREPIP_DATA_DIR": str(scratch / "operator"),
        "SECUREPIP_CACHE_DIR": str(scratch / "operator-cache"),
    }
    shutil.rmtree(scratch / "operator", ignore_errors=True)
    must([*SECUREPIP, "repo", "init", str(repository), "--expected-files", "20000"], environment)
    found = sorted(str(path) for path in wheels.glob("*.whl"))
    with tempfile.TemporaryDirectory(dir=scratch) as older:
        projects = sorted({Path(path).name.split("-")[0] for path in found})
        found += [
            str(make_older(Path(older), project, number))
            for project in projects
            for number in range(releases)
        ]
        for at in range(0, len(found), 2000):  # a command line has an end
            add = [*SECUREPIP, "repo", "add", str(repository), *found[at : at + 2000]]
            must(add, environment)
    return repository


def make_older(folder: Path, project: str, number: int) -> Path:
    """A wheel of an older release than any real one, which makes a page longer."""
    path = folder / f"{project}-0.0.0.dev{number}-py3-none-any.whl"
    info = f"{project}-0.0.0.dev{number}.dist-info"
    metadata = f"Metadata-Version: 2.1\nName: {project}\nVersion: 0.0.0.dev{number}\n"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{info}/METADATA", metadata)
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\n")
        archive.writestr(f"{info}/RECORD", "")
    return path


@contextmanager
def serving(repository: Path) -> Iterator[str]:
    """Yields the URL of `repo serve`, which ends with the block."""
    command = [*SECUREPIP, "repo", "serve", str(repository)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as server:
        try:
            line = server.stdout.readline() if server.stdout else ""
            yield next(word for word in line.split() if word.startswith("http://"))
        finally:
            server.terminate()


@contextmanager
def proxy(url: str, delay: float) -> Iterator[tuple[str, Wire]]:
    """A proxy in front of ``url`` that adds ``delay`` seconds per connection and per request.

    Yields:
        Its URL, and the counts of what goes through it. Every request is a GET or HEAD without a
        body, so the end of its headers is its end.
    """
    wire = Wire()
    host, port = urlsplit(url).hostname, urlsplit(url).port

    async def up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(1 << 16):
            wire.bytes += len(data)
            if data.endswith(b"\r\n\r\n"):
                wire.requests += 1
                await asyncio.sleep(delay)
            writer.write(data)
            await writer.drain()
        writer.write_eof()

    async def down(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(1 << 18):
            wire.bytes += len(data)
            writer.write(data)
            await writer.drain()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            await asyncio.sleep(delay)
            server_reader, server_writer = await asyncio.open_connection(host, port)
            sending = asyncio.create_task(up(reader, server_writer))
            with suppress(OSError):
                await down(server_reader, writer)
            sending.cancel()
            server_writer.close()
        writer.close()

    loop = asyncio.new_event_loop()
    server = loop.run_until_complete(asyncio.start_server(accept, "127.0.0.1", 0, limit=1 << 20))
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/", wire
    finally:
        asyncio.run_coroutine_threadsafe(cancel_others(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()


async def cancel_others() -> None:
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)


def must(command: Sequence[str], environment: Mapping[str, str]) -> None:
    """Run a command that has to work."""
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{command}\n{done.stdout}{done.stderr}")


if __name__ == "__main__":
    sys.exit(main())
