"""Front ends and workers in processes, which are killed and started again."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import requests

from securepip.engine.opened import DATABASE_VARIABLE
from tests.support.ports import free_port


@dataclass
class Fleet:
    """All processes of one repository.

    Attributes:
        address: The repository.
        url: Its database.
        keys: The folder of its online key.
        log: What the processes print.
        ports: Of the front ends, which keep them.
        workers: How many workers there are.
    """

    address: str
    url: str
    keys: Path
    log: Path
    ports: list[int]
    workers: int
    _processes: list[subprocess.Popen[bytes]] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __len__(self) -> int:
        """The number of processes."""
        return len(self.ports) + self.workers

    def upload_url(self, number: int) -> str:
        """The URL at which the front end of this number takes uploads."""
        return f"http://127.0.0.1:{self.ports[number % len(self.ports)]}/legacy/"

    def kill_one(self, chance: random.Random) -> None:
        """Kill a process at any point, and start another one in its place."""
        with self._lock:
            number = chance.randrange(len(self))
            self._processes[number].kill()
            self._processes[number].wait()
            self._processes[number] = self._start(number)

    def _start(self, number: int) -> subprocess.Popen[bytes]:
        command = (
            ["serve", self.address, "--uploads", "--port", str(self.ports[number])]
            if number < len(self.ports)
            else ["worker", self.address, "--keys", str(self.keys)]
        )
        with self.log.open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "securepip", "repo", *command],
                env={
                    **os.environ,
                    DATABASE_VARIABLE: self.url,
                    # Each is a machine of its own: they share the storage and the database alone.
                    "SECUREPIP_DATA_DIR": str(self.log.with_name(f"machine-{number}")),
                },
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def start(self) -> None:
        """Start all, and wait until the front ends answer."""
        self._processes = [self._start(number) for number in range(len(self))]
        end = time.monotonic() + 120
        for number in range(len(self.ports)):
            while True:
                try:
                    requests.get(self.upload_url(number), timeout=30)
                    break
                except requests.ConnectionError:
                    assert time.monotonic() < end, self.log.read_text()
                    time.sleep(0.1)

    def stop(self) -> None:
        """End all as an operator does: they finish their work first."""
        for process in self._processes:
            process.terminate()
        for process in self._processes:
            try:
                process.wait(60)
            except subprocess.TimeoutExpired:
                process.kill()
                raise


@contextmanager
def fleet(
    address: str, url: str, keys: Path, log: Path, *, fronts: int, workers: int
) -> Iterator[Fleet]:
    """Run so many front ends and workers."""
    ports = [free_port() for _ in range(fronts)]
    started = Fleet(address, url, keys, log, ports, workers)
    try:
        started.start()
        yield started
    finally:
        started.stop()
