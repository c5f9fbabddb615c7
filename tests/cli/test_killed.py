"""SIGKILL at random moments: of those who sign, and of those who install.

``SECUREPIP_KILLS`` is how often each is killed (default 2); ``SECUREPIP_SEED`` is another seed.
"""

from __future__ import annotations

import itertools
import os
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.signing.clients import look_as_tuf_client
from tests.support.hostile import HostileServer, flip_byte, serve_hostile
from tests.support.machine import Machine
from tests.support.repositories import MadeRepository, make_repository
from tests.support.wheels import make_wheel

KILLS = int(os.environ.get("SECUREPIP_KILLS", "2"))
SEED = int(os.environ.get("SECUREPIP_SEED", "458"))

# Start-up is two thirds of a short run, and nothing happens in it: the clock starts after it.
_READY = """
import sys
import securepip.installer.handoff, securepip.index, securepip.resolver, securepip.transport
import securepip.signing.publish.add, securepip.signing.overlay, securepip.trust, tuf.ngclient
from securepip.cli import main
print("ready", flush=True)
sys.exit(main())
"""


class Killer:
    """Runs securepip and kills it at a random moment of the time that a whole run takes."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._random = random.Random(SEED)
        self._longest = 0.0
        self.killed = 0

    def turns(self) -> Iterator[int]:
        """One whole run, and so many that are killed: more, where none was in time."""
        for turn in itertools.count():
            yield turn
            if turn >= KILLS and (self.killed or not KILLS):
                return

    def run(self, *words: str | Path, kill: bool = True) -> None:
        """Run it; the first time and with ``kill=False`` to its end, which must be a good one."""
        began, process = self._start(words)
        if kill and self._longest:
            time.sleep(self._random.random() * self._longest)
            process.kill()
        _, err = process.communicate(timeout=120)
        if kill and self._longest:
            self.killed += process.returncode != 0
            self._longest /= 1 if process.returncode else 2  # it takes less than was thought
        else:
            assert process.returncode == 0, err
            self._longest = max(self._longest, time.monotonic() - began)
        assert process.returncode in (0, -9), err

    def _start(self, words: Sequence[str | Path]) -> tuple[float, subprocess.Popen[str]]:
        process = subprocess.Popen(
            [sys.executable, "-c", _READY, *map(str, words)],
            env={**self._machine.variables, "PYTHONPATH": os.pathsep.join(sys.path)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        process.stdout.readline()
        return time.monotonic(), process


def assert_installs(machine: Machine, *names: str) -> None:
    """What is signed now can be installed."""
    done = machine.install("-U", "--no-compile", *names)
    assert done.code == 0, done.err


def test_killing_add_never_leaves_a_repository_that_a_client_rejects(
    machine: Machine, made: MadeRepository, tmp_path: Path
) -> None:
    machine.trust(made, str(made.folder))
    killer = Killer(machine)
    wheels = []
    for turn in killer.turns():
        new = [
            make_wheel(tmp_path / "new", "app", f"3.{turn}", requires=["lib"]),
            make_wheel(tmp_path / "new", f"project{turn}", "1.0"),
        ]
        wheels += new
        killer.run("repo", "add", made.folder, *new)
        look_as_tuf_client(made.folder, tmp_path / "tuf")
        assert_installs(machine, "app")
    killer.run("repo", "add", made.folder, *wheels, kill=False)
    paths = look_as_tuf_client(made.folder, tmp_path / "tuf")
    assert {f"packages/app/app-3.{number}-py3-none-any.whl" for number in range(turn + 1)} <= paths
    assert_installs(machine, "app", *(f"project{number}" for number in range(turn + 1)))
    assert machine.version_of("app") == f"3.{turn}"


def test_killing_sync_never_leaves_a_repository_that_a_client_rejects(
    machine: Machine, made: MadeRepository, tmp_path: Path
) -> None:
    """``made`` is the index that does not sign, for those who read its plain pages."""
    overlay = make_repository(tmp_path / "overlay")
    machine.trust(overlay, str(overlay.folder))
    killer = Killer(machine)
    with serve_hostile(made.folder) as upstream:
        sync: list[str | Path] = [
            "repo",
            "sync",
            overlay.folder,
            "--upstream",
            f"{upstream.url}simple/",
        ]
        names = ["app", "lib", "other"]
        for turn in killer.turns():
            made.add(
                make_wheel(tmp_path / "new", "app", f"3.{turn}", requires=["lib"]),
                make_wheel(tmp_path / "new", f"project{turn}", "1.0"),
            )
            names.append(f"project{turn}")
            killer.run(*sync, *names)
            look_as_tuf_client(overlay.folder, tmp_path / "tuf")
            assert_installs(machine, "app")
        killer.run(*sync, *names, kill=False)
        look_as_tuf_client(overlay.folder, tmp_path / "tuf")
        assert_installs(machine, *names)
    assert machine.version_of("app") == f"3.{turn}"


def test_killing_install_never_spoils_the_next_or_makes_it_trust_more(
    client: Machine, hostile: HostileServer, empty_environment: Path, tmp_path: Path
) -> None:
    code = {"app/__init__.py": "VERSION = 'evil'\n"}
    evil = make_wheel(tmp_path / "evil", "app", "2.0", requires=["lib"], files=code).read_bytes()
    killer = Killer(client)

    def empty() -> None:
        shutil.rmtree(client.environment)
        shutil.copytree(empty_environment, client.environment, symlinks=True)

    for turn in range(KILLS + 1):
        if turn % 2:  # with a cache that earlier runs have filled, and without
            shutil.rmtree(tmp_path / "cache", ignore_errors=True)
        target = tmp_path / f"environment-{turn}"
        shutil.copytree(empty_environment, target, symlinks=True)
        killer.run("install", "--python", target, "app")

        hostile.alter(r".*app.*\.whl", lambda _: evil)
        lied_to = client.install("app")
        # Unless the genuine wheel was in the store by then: the lie is not even asked for.
        assert lied_to.code in (0, 3), lied_to.err
        assert client.version_of("app") == (None if lied_to.code else "2.0")
        hostile.honest()
        empty()
        done = client.install("app")
        assert done.code == 0, done.err
        assert client.version_of("app") == "2.0"
        empty()


def test_state_that_was_cut_off_is_mended_and_never_believed(
    client: Machine, hostile: HostileServer
) -> None:
    """What a failing disk leaves, which is more than what a killed run does."""
    assert client.install("--dry-run", "app").code == 0
    state = client.folder / "data" / "trust" / "made" / "metadata"
    for role in ("root", "timestamp", "snapshot", "targets", "bins"):
        for damage in (b"", b"{"):
            (state / f"{role}.json").write_bytes(damage)
            hostile.alter(r"metadata/(timestamp|\d+\.bins)\.json", flip_byte)
            lied_to = client.install("--dry-run", "app")
            assert lied_to.code in (0, 3), lied_to.err
            assert lied_to.code == 3 or role not in ("timestamp", "bins")
            hostile.honest()
            done = client.install("--dry-run", "app")
            assert done.code == 0, (role, done.err)
