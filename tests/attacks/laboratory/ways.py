"""The ways in: the commands that a user runs while the server is hostile, and their outcome."""

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
    """The outcome of an attempt.

    Attributes:
        code: The exit code. For the gateway, the exit code that its HTTP status means (3 for 502).
        said: The messages for the user.
    """

    code: int
    said: str

    @classmethod
    def of(cls, done: Finished) -> Outcome:
        return cls(done.code, done.out + done.err)


@dataclass
class Victim:
    """A user's machine, and its world.

    Attributes:
        machine: The machine.
        world: The world.
        name: The project that the user asks for.
        words: Options for each command.
    """

    machine: Machine
    world: World
    name: str = "app"
    words: tuple[str, ...] = ("--no-cache-dir",)

    @property
    def place(self) -> Path:
        """The folder for the user's downloads and locks."""
        folder = self.machine.folder / "place"
        folder.mkdir(exist_ok=True)
        return folder

    def everything(self) -> dict[str, bytes]:
        """Everything that a success would change: the environment, downloads and locks."""
        written = {path.name: path.read_bytes() for path in self.place.iterdir()}
        return {**self.machine.installed(), **written}

    def versions(self) -> dict[str, int]:
        """The versions of the metadata that the machine has accepted so far."""
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
    """Make a lock. A forged wheel that it does not fetch has no effect: it names the signed one."""
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
    """Check that a success has installed the genuine files, and nothing else."""
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
    """Fetch the page and then the wheel, as a tool does."""
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
"""The commands, by the name of the way in."""


def trust(victim: Victim, way: str, credentials: str = "") -> None:
    """Let the machine trust the repository, or the index on first use.

    The machine has seen the honest answer once, and has no file in its cache.
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
    """Check that the messages have no terminal codes, and no line that imitates securepip's."""
    assert "Traceback" not in said
    assert all(each.isprintable() or each in "\n\t" for each in said), repr(said)
    assert ALL_IS_WELL not in said.splitlines()
