"""The ways in: what a user runs while the server is not to be believed, and what comes of it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from securepip.formats.digests import sha256_of
from securepip.trust import TrustStore
from tests.attacks.laboratory.world import World
from tests.gateway.conftest import run_gateway
from tests.plugin.conftest import run_pip
from tests.support.machine import Finished, Machine


@dataclass(frozen=True)
class Outcome:
    """What came of an attempt.

    Attributes:
        code: The exit code; of the gateway, the HTTP status as an exit code (3 for 502).
        said: What the user reads.
    """

    code: int
    said: str

    @classmethod
    def of(cls, done: Finished) -> Outcome:
        return cls(done.code, done.out + done.err)


@dataclass
class Victim:
    """A user's machine, and the world that it lives in.

    Attributes:
        machine: The machine.
        world: The world.
        name: What the user asks for.
    """

    machine: Machine
    world: World
    name: str = "app"

    @property
    def place(self) -> Path:
        """Where the user's downloads and locks go."""
        folder = self.machine.folder / "place"
        folder.mkdir(exist_ok=True)
        return folder

    def everything(self) -> dict[str, bytes]:
        """All that a success would change: the environment, and what was written for the user."""
        written = {path.name: path.read_bytes() for path in self.place.iterdir()}
        return {**self.machine.installed(), **written}

    def versions(self) -> dict[str, int]:
        """The versions of the metadata that the machine has believed so far."""
        found = {}
        for path in (self.machine.folder / "data" / "trust").glob("*/metadata/*.json"):
            if path.stem in ("root", "timestamp", "snapshot", "targets"):
                found[str(path)] = json.loads(path.read_bytes())["signed"]["version"]
        return found


def install(victim: Victim) -> Outcome:
    return Outcome.of(victim.machine.install(victim.name, "--no-cache-dir"))


def download(victim: Victim) -> Outcome:
    words = ("download", "--python", victim.machine.environment, "-d", victim.place)
    return Outcome.of(victim.machine.run(*words, "--no-cache-dir", victim.name))


def lock(victim: Victim) -> Outcome:
    place = victim.place / "pylock.toml"
    words = ("lock", "--python", victim.machine.environment, "-o", place, victim.name)
    done = victim.machine.run(*words)
    if done.code == 0:  # a wheel that nobody fetched is no harm: the lock names the signed one
        assert sha256_of(victim.world.genuine) in place.read_text()
        place.unlink()
        return Outcome(0, f"the lock names what was signed\n{done.err}")
    return Outcome.of(done)


def plugin(victim: Victim) -> Outcome:
    return Outcome.of(run_pip(victim.machine, "install", "--no-cache-dir", victim.name))


def gateway(victim: Victim) -> Outcome:
    """Ask as a tool asks: for the page, then for the wheel."""
    project = victim.world.project
    folder = victim.machine.folder / "data"
    with run_gateway(folder) as running:
        for path in (f"simple/{project}/", f"files/{project}/{victim.world.wheel}"):
            reply = running.get(path)
            if reply.status != 200:
                code = {"verification": 3}.get(reply.json.get("kind"), 1)
                return Outcome(code, f"{reply.reason} {reply.body.decode()}")
    return Outcome(0, "")


WAYS: dict[str, Callable[[Victim], Outcome]] = {
    "install": install,
    "download": download,
    "lock": lock,
    "build": install,
    "plugin": plugin,
    "gateway": gateway,
    "first use": install,
}
"""What is run, by the name of the way."""


def trust(victim: Victim, way: str) -> None:
    """Make the machine believe the repository, or the index at first sight.

    Every machine has seen the honest answer once, and has kept no file of it.
    """
    machine, world = victim.machine, victim.world
    if way == "first use":
        done = machine.run("trust", "first-use", "--index-url", f"{world.server.url}simple/")
        assert done.code == 0, done.err
    else:
        machine.trust(world.made, world.server.url)
    seen = machine.run("install", "--python", machine.environment, "--dry-run", victim.name)
    assert seen.code == 0, seen.err
    assert TrustStore(machine.folder / "data" / "trust").read().repositories
    shutil.rmtree(machine.folder / "cache", ignore_errors=True)
