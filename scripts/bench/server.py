"""What the benchmarks share: a signed repository, its server, and a proxy that adds delays.

Rule: only the standard library is imported. securepip runs as a command of its own environment.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import venv
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

CHECKOUT = Path(__file__).resolve().parent.parent.parent


@dataclass
class Wire:
    """Counts what passes the proxy: requests, and bytes in both directions."""

    requests: int = 0
    bytes: int = 0


def make_securepip(scratch: Path) -> Path:
    """Install this checkout, and uv, into an environment; returns the interpreter."""
    folder = scratch / "securepip"
    if not folder.exists():
        venv.create(folder, with_pip=True)
    python = folder / "bin" / "python"
    pip = [str(python), "-m", "pip", "install", "--quiet", "--upgrade"]
    must([*pip, "pip", "uv", str(CHECKOUT)], dict(os.environ))
    must([*pip, "--force-reinstall", "--no-deps", str(CHECKOUT)], dict(os.environ))
    return python


def make_repository(
    scratch: Path, securepip: Sequence[str], sets: Mapping[str, Sequence[str]], releases: int
) -> Path:
    """Make a signed repository of the wheels that pip would install for each set.

    It is kept in the scratch folder, and used again for the same sets.
    """
    for words in sets.values():
        wheels = download(scratch, securepip, words)
    repository = scratch / f"repository-{'-'.join(sets)}-{releases}"
    mark = repository.with_suffix(".made")
    if mark.exists():
        return repository
    say("Signing the repository")
    shutil.rmtree(repository, ignore_errors=True)
    operator = scratch / f"operator-{repository.name}"
    environment = {
        **os.environ,
        "SECUREPIP_DATA_DIR": str(operator),
        "SECUREPIP_CACHE_DIR": str(scratch / "operator-cache"),
    }
    shutil.rmtree(operator, ignore_errors=True)
    must([*securepip, "repo", "init", str(repository), "--expected-files", "20000"], environment)
    paths = sorted(str(path) for path in wheels.glob("*.whl"))
    with tempfile.TemporaryDirectory(dir=scratch) as older:
        projects = sorted({Path(path).name.split("-")[0] for path in paths})
        paths += [
            str(make_older(Path(older), project, number))
            for project in projects
            for number in range(releases)
        ]
        for start in range(0, len(paths), 2000):  # the length of a command line is limited
            add = [*securepip, "repo", "add", str(repository), *paths[start : start + 2000]]
            must(add, environment)
    mark.touch()
    return repository


def download(scratch: Path, securepip: Sequence[str], words: Sequence[str]) -> Path:
    """Download the wheels that pip would install, unless they are there; returns their folder."""
    wheels = scratch / "wheels"
    mark = wheels / f".{'-'.join(words)}"
    if not mark.exists():
        say(f"Downloading {' '.join(words)}")
        command = [securepip[0], "-m", "pip", "download", "--quiet", "--only-binary=:all:"]
        must([*command, "--dest", str(wheels), *words], dict(os.environ))
        mark.touch()
    return wheels


def sync(folder: Path, securepip: Sequence[str], upstream: str, words: Sequence[str]) -> Path:
    """Make a repository in ``folder`` that signs these projects of an index, and what they need."""
    say(f"Signing what {upstream} shows of {' '.join(words)}")
    repository = folder / "repository"
    environment = {
        **os.environ,
        "SECUREPIP_DATA_DIR": str(folder / "operator"),
        "SECUREPIP_CACHE_DIR": str(folder / "operator-cache"),
    }
    must([*securepip, "repo", "init", str(repository), "--expected-files", "20000"], environment)
    sync = ["sync", str(repository), "--upstream", upstream, "--with-dependencies"]
    must([*securepip, "repo", *sync, "--dependency-versions", "1", *words], environment)
    return repository


def make_older(folder: Path, project: str, number: int) -> Path:
    """Make a wheel of a release that is older than all real ones, to make the page longer."""
    path = folder / f"{project}-0.0.0.dev{number}-py3-none-any.whl"
    info = f"{project}-0.0.0.dev{number}.dist-info"
    metadata = f"Metadata-Version: 2.1\nName: {project}\nVersion: 0.0.0.dev{number}\n"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{info}/METADATA", metadata)
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\n")
        archive.writestr(f"{info}/RECORD", "")
    return path


@contextmanager
def serving(securepip: Sequence[str], repository: Path) -> Iterator[str]:
    """Run `repo serve` inside the ``with`` block; yields its URL."""
    command = [*securepip, "repo", "serve", str(repository)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as server:
        try:
            line = server.stdout.readline() if server.stdout else ""
            yield next(word for word in line.split() if word.startswith("http://"))
        finally:
            server.terminate()


@contextmanager
def proxy(url: str, delay: float, wire: Wire | None = None) -> Iterator[tuple[str, Wire]]:
    """Run a proxy in front of ``url`` that delays each connection and each request.

    Every request must be a GET or HEAD without a body: the end of the headers is taken as its end.

    Args:
        url: The URL of the server behind the proxy.
        delay: The delay in seconds.
        wire: The counts to add to; None for new ones.

    Yields:
        The URL of the proxy, and the counts of what passes it.
    """
    wire = wire or Wire()
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


def say(text: str) -> None:
    """Print progress on standard error; only the tables go to standard output."""
    print(text, file=sys.stderr, flush=True)


def must(command: Sequence[str], environment: Mapping[str, str]) -> None:
    """Run a command that must succeed."""
    process = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if process.returncode:
        sys.exit(f"{command}\n{process.stdout}{process.stderr}")
