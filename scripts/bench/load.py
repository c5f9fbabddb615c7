"""Runs many clients against a gateway for minutes, over a repository that often fails.

    python scripts/bench/load.py [--clients 200] [--minutes 10]

The repository answers one request in twenty late, incompletely, or with 503. Every minute it
publishes something, and the gateway's store is emptied, so that files are fetched again. Clients
ask for pages, metadata and files of all projects as fast as they get answers, and disconnect in the
middle of one request in twenty. An answer is right if it is what was signed, or an error (502, 503,
504) that says that the repository failed; after any other, the run ends with exit code 1. Every
minute a line shows the number of requests and of errors, the 50th and 99th percentile of the times,
and the gateway's memory (VmRSS), open files and threads.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import random
import shutil
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

sys.path.insert(0, str(Path(__file__).parent))
from gateway import Gateway, make_wheel, sign, started
from securepip.signing.publish.add import add
from securepip.signing.repository.repository import Repository

PROJECTS, FAULT, GOES_AWAY = 100, 0.05, 0.05
ERRORS = frozenset({502, 503, 504})
SECONDS_PER_LINE = 60


class Faulty(ThreadingHTTPServer):
    """An HTTP server that does not print the errors of connections."""

    daemon_threads = True
    request_queue_size = 512

    def handle_error(self, *args: object) -> None:
        """Print nothing: clients disconnect on purpose."""


@contextmanager
def faulty(folder: Path, faults: Counter[str]) -> Iterator[str]:
    """Serve a folder; some answers are late, cut off, or 503. ``faults`` counts these."""
    chance = random.Random(16)  # noqa: S311 - which faults come

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_GET(self) -> None:
            file = folder / unquote(urlsplit(self.path).path).lstrip("/")
            how = chance.choice(("late", "cut", "503")) if chance.random() < FAULT else "good"
            faults[how] += 1
            status, data = (200, file.read_bytes()) if file.is_file() else (404, b"")
            if how == "503":
                status, data = 503, b""
            if how == "late":
                time.sleep(2)
            with suppress(OSError):
                self.send_response(status)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                if how == "cut":
                    data = data[: len(data) // 2]
                    self.close_connection = True
                self.wfile.write(data)

        def log_message(self, *args: object) -> None:
            pass

    with Faulty(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}/"
        server.shutdown()
        thread.join()


@dataclass
class Tally:
    """The results of the requests since the last line.

    Attributes:
        times: The seconds that each answered request took.
        statuses: The number of answers by status.
        away: How many clients disconnected in the middle.
        wrong: Descriptions of answers that are neither what was signed nor an expected error.
    """

    times: list[float] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)
    away: int = 0
    wrong: list[str] = field(default_factory=list)


async def client(gateway: Gateway, files: dict[str, str], tally: Tally, seed: int) -> None:
    """Send one random request after the other, until it is cancelled."""
    chance, paths = random.Random(seed), list(files)  # noqa: S311 - what is asked for
    while True:
        path = chance.choice(paths)
        kind = chance.choice(("page", "metadata", "file"))
        project = path.split("/")[1]
        asked = {"page": f"simple/{project}/", "metadata": f"{path}.metadata", "file": path}[kind]
        begin = time.perf_counter()
        try:
            reader, writer = await gateway.open(asked)
            if chance.random() < GOES_AWAY:
                await asyncio.sleep(chance.random() * 0.05)
                writer.transport.abort()
                tally.away += 1
                continue
            head = await reader.readuntil(b"\r\n\r\n")
            body = await reader.read(-1)
            writer.close()
        except (OSError, asyncio.IncompleteReadError) as error:
            tally.wrong.append(f"{asked}: no answer: {error!r}")
            await asyncio.sleep(0.1)
            continue
        status = int(head.split()[1])
        tally.times.append(time.perf_counter() - begin)
        tally.statuses[status] += 1
        if status == 200 and kind == "file":
            # If the repository fails in the middle of a file, the gateway can only break off: a
            # client sees that the answer is too short. Only a complete answer can be wrong.
            length = next(
                int(line.split(b":")[1])
                for line in head.lower().split(b"\r\n")
                if line.startswith(b"content-length")
            )
            whole = len(body) == length
            if whole and hashlib.sha256(body).hexdigest() != files[path]:
                tally.wrong.append(f"{asked}: other bytes than those signed")
        elif status == 200 and project.encode() not in body:
            tally.wrong.append(f"{asked}: {body[:200]!r}")
        elif status != 200 and status not in ERRORS:
            tally.wrong.append(f"{asked}: {status} {body[:300]!r}")


def line(gateway: Gateway, tally: Tally, minute: float) -> str:
    """The line for the last minute."""
    folder = Path("/proc") / str(gateway.pid)
    fields = dict(each.split(":", 1) for each in (folder / "status").read_text().splitlines())
    times = sorted(tally.times) or [0.0]
    errors = sum(count for status, count in tally.statuses.items() if status != 200)
    return (
        f"{minute:5.1f} min {len(tally.times):7} requests {errors:6} errors {tally.away:6} away "
        f"p50 {times[len(times) // 2] * 1000:6.0f} ms "
        f"p99 {times[len(times) * 99 // 100] * 1000:6.0f} ms "
        f"{int(fields['VmRSS'].split()[0]) / 1024:6.1f} MB "
        f"{sum(1 for _ in (folder / 'fd').iterdir()):4} files "
        f"{int(fields['Threads']):3} threads {len(tally.wrong)} wrong"
    )


async def load(
    gateway: Gateway,
    files: dict[str, str],
    clients: int,
    minutes: float,
    each_minute: Callable[[], None],
) -> list[str]:
    """Run all clients for ``minutes``; the descriptions of wrong answers."""
    tally, wrong, begin = Tally(), [], time.monotonic()
    print(line(gateway, tally, 0), flush=True)
    tasks = [
        asyncio.create_task(client(gateway, files, tally, number)) for number in range(clients)
    ]
    while time.monotonic() - begin < minutes * 60:
        await asyncio.sleep(min(SECONDS_PER_LINE, minutes * 60))
        print(line(gateway, tally, (time.monotonic() - begin) / 60), flush=True)
        wrong += tally.wrong
        tally.times, tally.statuses, tally.away, tally.wrong = [], Counter(), 0, []
        await asyncio.to_thread(each_minute)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await asyncio.sleep(5)
    print("afterwards", line(gateway, Tally(), (time.monotonic() - begin) / 60), flush=True)
    return wrong


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clients", type=int, default=200)
    parser.add_argument("--minutes", type=float, default=10)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        built = folder / "built"
        built.mkdir()
        wheels = [
            make_wheel(built / f"small{number}-1.0-py3-none-any.whl", 64 << 10)
            for number in range(PROJECTS)
        ]
        made, files = sign(folder, wheels)
        numbers = iter(range(1, 1 << 30))

        def each_minute() -> None:
            new = make_wheel(built / f"more{next(numbers)}-1.0-py3-none-any.whl", 1000)
            with Repository.open(folder / "repository") as repository:
                add(repository, [new])
            shutil.rmtree(folder / "cache" / "store" / "sha256", ignore_errors=True)

        faults: Counter[str] = Counter()
        with (
            faulty(folder / "repository", faults) as url,
            started(folder, url, made.root_sha256) as gateway,
        ):
            wrong = asyncio.run(
                load(gateway, files, arguments.clients, arguments.minutes, each_minute)
            )
    print(f"the repository: {dict(faults)}")
    print(*dict.fromkeys(wrong), sep="\n")
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
