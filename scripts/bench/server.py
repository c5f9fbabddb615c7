"""What the benchmarks install from: a signed repository, served on this machine, and a slow wire.

Rule: the standard library alone. securepip is a command here, that of an environment of its own.
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
    """What has gone through the proxy: requests, and bytes in both directions."""

    requests: int = 0
    bytes: int = 0


def make_securepip(scratch: Path) -> Path:
    """An environment with this checkout as users install it, and uv; returns its interpreter."""
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
    """A signed repository of the wheels that pip would install for each set.

    It is kept for the next time that the same is asked for.
    """
    for words in sets.values():
        wheels = download(scratch, securepip, words)
    repository = scratch / f"repository-{'-'.join(sets)}-{releases}"
    made = repository.with_suffix(".made")
    if made.exists():
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
    found = sorted(str(path) for path in wheels.glob("*.whl"))
    with tempfile.TemporaryDirectory(dir=scratch) as older:
        projects = sorted({Path(path).name.split("-")[0] for path in found})
        found += [
            str(make_older(Path(older), project, number))
            for project in projects
            for number in range(releases)
        ]
        for at in range(0, len(found), 2000):  # a command line has an end
            add = [*securepip, "repo", "add", str(repository), *found[at : at + 2000]]
            must(add, environment)
    made.touch()
    return repository


def download(scratch: Path, securepip: Sequence[str], words: Sequence[str]) -> Path:
    """See to it that the wheels that pip would install are in a folder; returns it."""
    wheels = scratch / "wheels"
    done = wheels / f".{'-'.join(words)}"
    if not done.exists():
        say(f"Downloading {' '.join(words)}")
        command = [securepip[0], "-m", "pip", "download", "--quiet", "--only-binary=:all:"]
        must([*command, "--dest", str(wheels), *words], dict(os.environ))
        done.touch()
    return wheels


def sync(folder: Path, securepip: Sequence[str], upstream: str, words: Sequence[str]) -> Path:
    """A repository in ``folder`` that signs what an index shows of these, and of what they need."""
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
def serving(securepip: Sequence[str], repository: Path) -> Iterator[str]:
    """Yields the URL of `repo serve`, which ends with the block."""
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
    """A proxy in front of ``url`` that adds ``delay`` seconds per connection and per request.

    Args:
        url: Where it passes everything on to.
        delay: Those seconds.
        wire: Counts on in it.

    Yields:
        Its URL, and the counts of what goes through it. Every request is a GET or HEAD without a
        body, so the end of its headers is its end.
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
    """Tell who waits; the tables alone go to standard output."""
    print(text, file=sys.stderr, flush=True)


def must(command: Sequence[str], environment: Mapping[str, str]) -> None:
    """Run a command that has to work."""
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{command}\n{done.stdout}{done.stderr}")
