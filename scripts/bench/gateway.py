"""Measures what many clients cost a gateway: memory, time, and requests to the repository.

    python scripts/bench/gateway.py [--clients N] [--big MEGABYTES]

Makes a signed repository with one big wheel and many small ones, serves it on loopback, starts
`securepip gateway` in its own process, and runs clients against it. For each round it prints the
time, the gateway's peak memory so far (VmHWM), and how often the repository was asked for the
files.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import os
import random
import subprocess
import sys
import tempfile
import threading
import time
import zipfile
from collections.abc import Awaitable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from securepip.formats.digests import sha256_of_stream
from securepip.signing.publish.add import add
from securepip.signing.publish.create import Created, create
from securepip.signing.publish.serve import RepositoryServer

CHUNK = 1 << 20
SMALL = 1 << 20
SLOW_BYTES, SLOW_SECONDS = 4096, 0.1


@dataclass(frozen=True)
class Gateway:
    """A running gateway."""

    pid: int
    url: str

    def memory(self) -> tuple[float, int]:
        """Its peak memory so far, in megabytes, and its present number of threads."""
        fields = dict(
            line.split(":", 1) for line in Path(f"/proc/{self.pid}/status").read_text().splitlines()
        )
        return int(fields["VmHWM"].split()[0]) / 1024, int(fields["Threads"])

    async def open(self, path: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Send a request for a path, without reading the answer."""
        parts = urlsplit(self.url)
        reader, writer = await asyncio.open_connection(parts.hostname, parts.port, limit=CHUNK)
        head = f"GET {parts.path}{path} HTTP/1.1\r\nHost: {parts.netloc}\r\nConnection: close\r\n"
        writer.write(f"{head}\r\n".encode())
        return reader, writer

    async def read(self, path: str, expected: str | None = None) -> float:
        """Read a whole answer and check its digest; returns the seconds until its first byte."""
        begin = time.perf_counter()
        reader, writer = await self.open(path)
        head = await reader.readuntil(b"\r\n\r\n")
        first = time.perf_counter() - begin
        assert head.startswith(b"HTTP/1.1 200 "), head
        digest = hashlib.sha256()
        while chunk := await reader.read(CHUNK):
            if expected is not None:
                digest.update(chunk)
        writer.close()
        assert expected in (None, digest.hexdigest()), path
        return first


def make_wheel(path: Path, size: int) -> Path:
    """Make a wheel with ``size`` bytes that do not compress."""
    name, version = path.name.split("-")[:2]
    info = f"{name}-{version}.dist-info"
    block = random.Random(name).randbytes(min(size, 64 * CHUNK))  # noqa: S311 - filling
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        with archive.open(f"{name}/data", "w", force_zip64=True) as member:
            for start in range(0, size, len(block)):
                member.write(block[: size - start])
        metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
        archive.writestr(f"{info}/METADATA", metadata)
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
    return path


def digest_of(path: Path) -> str:
    with path.open("rb") as stream:
        return sha256_of_stream(stream)[0]


@contextmanager
def started(folder: Path, url: str, root_sha256: str) -> Iterator[Gateway]:
    environ = {
        **os.environ,
        "SECUREPIP_DATA_DIR": str(folder / "data"),
        "SECUREPIP_CACHE_DIR": str(folder / "cache"),
        "PIP_CONFIG_FILE": os.devnull,
    }
    command = [sys.executable, "-m", "securepip"]
    trust = [*command, "trust", "add", "bench", url, "--root-sha256", root_sha256]
    subprocess.run(trust, env=environ, check=True, stdout=subprocess.DEVNULL)
    with subprocess.Popen(
        [*command, "gateway"], env=environ, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        try:
            yield Gateway(process.pid, json.loads(process.stdout.readline())["url"])
        finally:
            process.terminate()


async def rounds(gateway: Gateway, files: dict[str, str], clients: int, seen: list[str]) -> None:
    """Run the rounds one after the other; files of earlier rounds stay in the gateway's store."""
    big, shared, *others = files
    peak, threads = gateway.memory()
    print(f"{'started':44} {'':>9} {peak:6.1f} MB peak, {threads} threads")

    async def timed(what: str, work: Awaitable[object]) -> None:
        seen.clear()
        begin = time.perf_counter()
        note = await work
        seconds = time.perf_counter() - begin
        fetched = sum(line.endswith(".whl'") for line in seen)
        peak, threads = gateway.memory()
        print(
            f"{what:44} {seconds:7.2f} s {peak:6.1f} MB peak, {threads} threads, "
            f"{fetched} fetched{note or ''}"
        )

    async def one_big() -> str:
        first = await gateway.read(big, files[big])
        return f"; first byte after {first:.2f} s"

    async def all_of(paths: list[str]) -> None:
        await asyncio.gather(*(gateway.read(path, files[path]) for path in paths))

    async def vanish() -> None:
        opened = [await gateway.open(big) for _ in range(clients)]
        for reader, _ in opened[: clients // 2]:
            await reader.readexactly(100)
        for _, writer in opened:
            writer.transport.abort()
        await gateway.read(shared, files[shared])

    async def beside_slow() -> str:
        slow = [await gateway.open(big) for _ in range(clients)]
        readers = [asyncio.create_task(trickle(reader)) for reader, _ in slow]
        slowest = 0.0
        for at in range(200):
            begin = time.perf_counter()
            await gateway.read(others[at % len(others)])
            slowest = max(slowest, time.perf_counter() - begin)
        for reader in readers:
            reader.cancel()
        for _, writer in slow:
            writer.transport.abort()
        return f"; slowest of the others {slowest * 1000:.0f} ms"

    await timed("the big file, first time", one_big())
    await timed("the big file, from the store", one_big())
    await timed(f"{clients} clients, one file that is new", all_of([shared] * clients))
    await timed(f"{len(others)} clients, each another new file", all_of(others))
    await timed(f"{clients} clients vanish in the big file", vanish())
    await timed(f"200 requests beside {clients} slow clients", beside_slow())
    await timed("8 clients, the big file", all_of([big] * 8))


async def trickle(reader: asyncio.StreamReader) -> None:
    """Read slowly, like a client with a slow connection."""
    with suppress(asyncio.CancelledError):
        while await reader.read(SLOW_BYTES):
            await asyncio.sleep(SLOW_SECONDS)


def sign(folder: Path, wheels: list[Path]) -> tuple[Created, dict[str, str]]:
    """Make a repository with these wheels; also returns their digests by path at a gateway."""
    keys = folder / "keys"
    made = create(
        folder / "repository",
        expected_files=1000,
        online_keys=keys / "online",
        offline_keys=keys / "offline",
    )
    with made.repository:
        add(made.repository, wheels)
    files = {f"files/{path.name.split('-')[0]}/{path.name}": digest_of(path) for path in wheels}
    return made, files


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clients", type=int, default=200)
    parser.add_argument("--big", type=int, default=1024, metavar="MEGABYTES")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        built = folder / "built"
        built.mkdir()
        wheels = [make_wheel(built / "big-1.0-py3-none-any.whl", arguments.big << 20)]
        wheels.append(make_wheel(built / "shared-1.0-py3-none-any.whl", 20 * SMALL))
        wheels += [
            make_wheel(built / f"small{number}-1.0-py3-none-any.whl", SMALL)
            for number in range(arguments.clients)
        ]
        made, files = sign(folder, wheels)
        seen: list[str] = []
        with RepositoryServer(folder / "repository", log=seen.append) as server:
            thread = threading.Thread(target=server.serve_forever, daemon=True)
            thread.start()
            with started(folder, server.url, made.root_sha256) as gateway:
                asyncio.run(rounds(gateway, files, arguments.clients, seen))
            server.shutdown()
            thread.join()
    return 0


if __name__ == "__main__":
    sys.exit(main())
