"""Faults of the network: each request of a cold download fails in each way, once or always.

In a storm, all requests fail, the first time or always.

    python -m tests.faults.network

Rule: a request is repeated if that can help, and the files are the signed ones; otherwise an error
says what failed. No incomplete file is kept, and the next run succeeds.
"""

from __future__ import annotations

import shutil
import socket
import ssl
import struct
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

from tests.faults.runner import environment_in
from tests.support.hostile import running
from tests.support.machine import Finished, Machine
from tests.support.repositories import MadeRepository, make_repository
from tests.support.wheels import make_wheel

ONCE = ("reset", "cut", "503", "silence")
ALWAYS = ("reset", "cut", "503", "other", "longer")
STORMS = ("500", "502", "503", "504", "reset", "cut")
_SILENCE = 10.0
"""Seconds: longer than a client waits."""
_LOGIN = b"<!DOCTYPE html><title>Log in</title>"


@dataclass(frozen=True)
class Broken:
    """A request that fails.

    Attributes:
        path: Its path below the repository; ``*`` for all paths.
        how: ``reset`` before the answer, ``cut`` in the middle of it, a status such as ``503``,
            ``silence`` until the client gives up, ``other`` (a login page), ``longer`` than the
            file.
        once: Whether the next request for that path succeeds.
    """

    path: str
    how: str
    once: bool

    def __str__(self) -> str:
        return f"{self.how} {'once' if self.once else 'always'} {self.path}"


@dataclass
class FaultyServer:
    """A server with a fault.

    Attributes:
        folder: The folder that it serves.
        url: Its address, ending in a slash.
        broken: The fault.
        seen: The paths of all requests.
    """

    folder: Path
    url: str = ""
    broken: Broken | None = None
    seen: list[str] = field(default_factory=list)

    def fault_of(self, path: str) -> str:
        """How a request fails; empty if it does not."""
        self.seen.append(path)
        broken = self.broken
        if broken is None or broken.path not in ("*", path):
            return ""
        return "" if broken.once and self.seen.count(path) > 1 else broken.how


@contextmanager
def serve_faulty(folder: Path, tls: ssl.SSLContext | None = None) -> Iterator[FaultyServer]:
    """Serve a folder on loopback, also as a proxy that answers for all hosts."""
    state = FaultyServer(folder)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_GET(self) -> None:
            path = unquote(urlsplit(self.path).path).lstrip("/")
            how, file = state.fault_of(path), state.folder / path
            if how == "reset":
                self._reset()
                return
            if how == "silence":
                threading.Event().wait(_SILENCE)
                self._reset()
                return
            data = file.read_bytes() if file.is_file() else b""
            status = 200 if file.is_file() else 404
            if how.isdigit():
                status, data = int(how), b"busy"
            elif how == "other":
                status, data = 200, _LOGIN
            elif how == "longer":
                data += b" "
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            self.send_header("ETag", '"1"')
            self.end_headers()
            if how == "cut":
                self.wfile.write(data[: len(data) // 2])
                self._reset()
                return
            self.wfile.write(data)

        def _reset(self) -> None:
            """Reset the connection."""
            self.close_connection = True
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.wfile.flush()
            self.connection.close()

        def log_message(self, *args: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = 64  # whoever finds a full queue waits for a second

        def handle_error(self, *args: object) -> None:
            """Print nothing about a connection that was ended on purpose."""

    with Server(("127.0.0.1", 0), Handler) as server:
        state.url = f"http{'s' if tls else ''}://127.0.0.1:{server.server_address[1]}/"
        if tls:
            server.socket = tls.wrap_socket(server.socket, server_side=True)
        with running(server):
            yield state


class Network:
    """A machine that trusts a repository on a server with faults.

    Attributes:
        paths: The paths that a cold download requests, sorted: the order changes from run to run.
    """

    def __init__(
        self,
        folder: Path,
        machine: Machine,
        made: MadeRepository,
        server: FaultyServer,
        retries: int = 1,
    ) -> None:
        self._folder, self._machine, self._made, self._server = folder, machine, made, server
        self._turns, self._retries = 0, str(retries)
        machine.trust(made, server.url)
        server.seen.clear()
        assert self._download().code == 0
        self.paths = sorted(set(server.seen))

    def faults(self) -> list[Broken]:
        """All faults. Silence takes seconds, and is tried with a few requests only."""
        return [Broken("*", how, once) for how in STORMS for once in (True, False)] + [
            Broken(path, how, once)
            for path in self.paths
            for once, ways in ((True, ONCE), (False, ALWAYS))
            for how in ways
            if how != "silence" or path in self.paths[:3]
        ]

    def wrong(self, broken: Broken) -> list[str]:
        """Try a fault, and describe what is wrong then."""
        self._server.broken = broken
        self._server.seen.clear()
        done = self._download()
        wrong = self._of_files(whole=not done.code)
        if broken.path not in ("*", *self._server.seen):
            wrong.append("it was never asked for")
        if broken.once and done.code:
            wrong.append(f"it was not tried again: {done.code} {done.err}")
        if done.code not in (0, 1, 3) or (done.code and "ERROR" not in done.err):
            wrong.append(f"exit code {done.code}: {done.err}")
        if "Traceback" in done.err or "securepip itself failed" in done.err:
            wrong.append(f"no words for a person: {done.err}")
        if done.code == 3 and broken.how not in ("other", "longer"):
            wrong.append(f"a fault of the network is called a forgery: {done.err}")
        self._server.broken = None
        again = self._download(fresh=False)
        if again.code:
            wrong.append(f"the next run: {again.err}")
        return [f"{broken}: {each}" for each in wrong + self._of_files(whole=True)]

    def _download(self, *, fresh: bool = True) -> Finished:
        if fresh:
            self._turns += 1
        folder = self._folder / str(self._turns)
        return self._machine.run(
            "download", "--python-version", "3.11", "--only-binary=:all:", "-d", folder / "files",
            "app", SECUREPIP_DATA_DIR=str(self._data(folder)), PIP_RETRIES=self._retries,
            SECUREPIP_CACHE_DIR=str(folder / "cache"), PIP_TIMEOUT=self._patience(),
        )  # fmt: skip

    def _patience(self) -> str:
        """A busy machine is no silent server."""
        broken = self._server.broken
        return "2" if broken is not None and broken.how == "silence" else "60"

    def _data(self, folder: Path) -> Path:
        """The data folder of a machine that has seen only the root."""
        data = folder / "data"
        if not data.exists():
            shutil.copytree(self._machine.folder / "data", data)
            shutil.rmtree(data / "trust" / "made" / "metadata", ignore_errors=True)
        return data

    def _of_files(self, *, whole: bool) -> list[str]:
        files = self._folder / str(self._turns) / "files"
        found = {path.name: path.read_bytes() for path in files.glob("*")}
        packages = self._made.folder / "packages"
        genuine = {
            path.name: path.read_bytes()
            for name in ("app-2.0-py3-none-any.whl", "lib-1.0-py3-none-any.whl")
            for path in [packages / name.partition("-")[0] / name]
        }
        if (whole and found != genuine) or not found.items() <= genuine.items():
            return [f"there are {sorted(found)}, whole or not"]
        return []


def main() -> int:
    """Try all faults, and return 1 if something is wrong."""
    with tempfile.TemporaryDirectory(prefix="securepip-network-") as name:
        folder = Path(name)
        made = make_repository(
            folder / "repository",
            make_wheel(folder, "app", "2.0", requires=["lib"]),
            make_wheel(folder, "lib", "1.0"),
        )
        (folder / "machine").mkdir()
        machine = Machine(folder / "machine", environment_in(folder / "empty"))
        with serve_faulty(made.folder) as server:
            network = Network(folder / "turns", machine, made, server)
            faults = network.faults()
            wrong = [each for broken in faults for each in network.wrong(broken)]
    print(*wrong, sep="\n")
    print(f"{len(network.paths)} requests {len(faults)} faults {len(wrong)} wrong")
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
