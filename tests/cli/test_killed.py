"""Commands that are killed at random moments: ``repo add``, ``repo sync`` and ``install``.

``SECUREPIP_KILLS`` sets how often each is killed (default 2), ``SECUREPIP_SEED`` the seed.
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

from tests.signing.clients import fetch_everything, read_plainly
from tests.support.hostile import HostileServer, flip_byte, serve_hostile
from tests.support.machine import Machine
from tests.support.repositories import MadeRepository, make_repository
from tests.support.wheels import make_wheel

KILLS = int(os.environ.get("SECUREPIP_KILLS", "2"))
SEED = int(os.environ.get("SECUREPIP_SEED", "458"))

# The clock starts after the imports: they take two thirds of a short run, and change nothing.
_READY = """
import sys
import securepip.installer.handoff, securepip.index, securepip.resolver, securepip.transport
import securepip.signing.publish.add, securepip.signing.overlay, securepip.trust, tuf.ngclient
from securepip.cli import main
print("ready", flush=True)
sys.exit(main())
"""


class Killer:
    """Runs securepip, and kills it at a random moment of the time that a whole run takes."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._random = random.Random(SEED)
        self._longest = 0.0
        self.killed = 0

    def turns(self) -> Iterator[int]:
        """Count one whole run, and the runs to kill: more, if each ended before it was killed."""
        for turn in itertools.count():
            yield turn
            if turn >= KILLS and (self.killed or not KILLS):
                return

    def run(self, *words: str | Path, kill: bool = True) -> None:
        """Run securepip. The first run, and one with ``kill=False``, must end with 0."""
        began, process = self._start(words)
        if kill and self._longest:
            time.sleep(self._random.random() * self._longest)
            process.kill()
        _, err = process.communicate(timeout=120)
        if kill and self._longest:
            self.killed += process.returncode != 0
            self._longest /= 1 if process.returncode else 2  # it takes less time than that
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
    """Check that these projects can be installed."""
    done = machine.install("-U", "--no-compile", *names)
    assert done.code == 0, done.err


def test_killing_add_never_leaves_a_repository_that_a_client_rejects(
    machine: Machine, made: MadeRepository, tmp_path: Path
) -> None:
    machine.trust(made, str(made.folder))
    killer = Killer(machine)
    wheels, old = [], read_plainly(made.folder)
    for turn in killer.turns():
        new = [
            make_wheel(tmp_path / "new", "app", f"3.{turn}", requires=["lib"]),
            make_wheel(tmp_path / "new", f"project{turn}", "1.0"),
        ]
        wheels += new
        killer.run("repo", "add", made.folder, *new)
        fetch_everything(made.folder, tmp_path / "tuf")
        assert old <= read_plainly(made.folder)
        assert_installs(machine, "app")
    killer.run("repo", "add", made.folder, *wheels, kill=False)
    paths = fetch_everything(made.folder, tmp_path / "tuf")
    assert {f"packages/app/app-3.{number}-py3-none-any.whl" for number in range(turn + 1)} <= paths
    assert_installs(machine, "app", *(f"project{number}" for number in range(turn + 1)))
    assert machine.version_of("app") == f"3.{turn}"


def test_killing_sync_never_leaves_a_repository_that_a_client_rejects(
    machine: Machine, made: MadeRepository, tmp_path: Path
) -> None:
    """``made`` is the upstream index: its plain pages have no signatures."""
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
            fetch_everything(overlay.folder, tmp_path / "tuf", overlay=True)
            assert_installs(machine, "app")
        killer.run(*sync, *names, kill=False)
        fetch_everything(overlay.folder, tmp_path / "tuf", overlay=True)
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
        if turn % 2:  # in turn with an empty cache and with that of earlier runs
            shutil.rmtree(tmp_path / "cache", ignore_errors=True)
        target = tmp_path / f"environment-{turn}"
        shutil.copytree(empty_environment, target, symlinks=True)
        killer.run("install", "--python", target, "app")

        hostile.alter(r".*app.*\.whl", lambda _: evil)
        lied_to = client.install("app")
        # If the genuine wheel is in the store already, the forged one is not fetched.
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
    """Files that a failing disk has cut off: a killed run leaves none of these."""
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
