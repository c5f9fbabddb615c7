"""The ways in: what a user runs while the server is not to be believed, and what comes of it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from securepip.formats.digests import sha256_of
from securepip.trust import TrustStore
from tests.attacks.laboratory.world import ALL_IS_WELL, World
from tests.gateway.conftest import run_gateway
from tests.plugin.conftest import run_pip
from tests.support.machine import Finished, Machine

LIB = "lib-1.0-py3-none-any.whl"


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
        words: Options of every command.
    """

    machine: Machine
    world: World
    name: str = "app"
    words: tuple[str, ...] = ("--no-cache-dir",)

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
    done = victim.machine.install(victim.name, *victim.words)
    return _installed(victim, Outcome.of(done))


def download(victim: Victim) -> Outcome:
    words = ("download", "--python", victim.machine.environment, "-d", victim.place)
    done = victim.machine.run(*words, *victim.words, victim.name)
    if done.code == 0:
        wanted = [victim.world.wheel, *([LIB] if victim.world.project == "app" else [])]
        assert sorted(path.name for path in victim.place.iterdir()) == wanted
        assert (victim.place / victim.world.wheel).read_bytes() == victim.world.genuine
    return Outcome.of(done)


def lock(victim: Victim) -> Outcome:
    """A wheel that nobody fetched is no harm: the lock names the signed one."""
    place = victim.place / "pylock.toml"
    words = ("lock", "--python", victim.machine.environment, "-o", place, victim.name)
    done = victim.machine.run(*words)
    if done.code:
        return Outcome.of(done)
    text = place.read_text()
    assert sha256_of(victim.world.genuine) in text
    place.unlink()
    return Outcome(0, done.out + done.err + text)


def plugin(victim: Victim) -> Outcome:
    done = run_pip(victim.machine, "install", *victim.words, victim.name)
    return _installed(victim, Outcome.of(done))


def _installed(victim: Victim, outcome: Outcome) -> Outcome:
    """See to it that a success has installed what is genuine, and nothing else."""
    if outcome.code == 0:
        freeze = [each for each in victim.machine.freeze() if not each.startswith("pip==")]
        if victim.name == "built":
            assert freeze == ["built==1.0"]
        else:
            assert freeze == ["app==2.0", "lib==1.0"]
            for name, code in victim.world.code.items():
                assert (victim.machine.site_packages / name).read_text() == code
    return outcome


def gateway(victim: Victim) -> Outcome:
    """Ask as a tool asks: for the page, then for the wheel."""
    project = victim.world.project
    folder = victim.machine.folder / "data"
    with run_gateway(folder) as running:
        for path in (f"simple/{project}/", f"files/{project}/{victim.world.wheel}"):
            reply = running.get(path)
            if reply.status != 200:
                code = {"verification": 3}.get(reply.json.get("kind"), 1)
                return Outcome(code, f"{reply.reason} {reply.json['detail']}")
    assert reply.body == victim.world.genuine
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


def trust(victim: Victim, way: str, credentials: str = "") -> None:
    """Make the machine believe the repository, or the index at first sight.

    Every machine has seen the honest answer once, and has kept no file of it.
    """
    machine, world = victim.machine, victim.world
    location = world.server.url.replace("://", f"://{credentials}")
    if way == "first use":
        done = machine.run("trust", "first-use", "--index-url", f"{location}simple/")
        assert done.code == 0, done.err
    else:
        machine.trust(world.made, location)
    seen = machine.run("install", "--python", machine.environment, "--dry-run", victim.name)
    assert seen.code == 0, seen.err
    assert TrustStore(machine.folder / "data" / "trust").read().repositories
    shutil.rmtree(machine.folder / "cache", ignore_errors=True)


def assert_harmless(said: str) -> None:
    """Nothing in it is obeyed by a terminal, or looks like a line of securepip's own."""
    assert "Traceback" not in said
    assert all(each.isprintable() or each in "\n\t" for each in said), repr(said)
    assert ALL_IS_WELL not in said.splitlines()
