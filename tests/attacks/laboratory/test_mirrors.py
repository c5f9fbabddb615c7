"""A repository with mirrors: a bad, stale, slow or dead mirror is skipped, and a message names it.

The files come from an honest mirror. If there is none, nothing is installed.
"""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.attacks.laboratory.ways import WAYS, Victim
from tests.attacks.laboratory.world import World
from tests.attacks.marks import attack
from tests.support.builds import MAKER_CODE
from tests.support.hostile import HostileServer, flip_byte, serve_hostile
from tests.support.machine import Machine
from tests.support.patience import impatient
from tests.support.wheels import make_wheel

OF_SIGNATURES = [way for way in WAYS if way != "first use"]


def be_dead(world: World, server: HostileServer) -> None:
    server.withhold(".*", 503)


def be_bad(world: World, server: HostileServer) -> None:
    server.alter(r"metadata/timestamp\.json", flip_byte)


def have_bad_files(world: World, server: HostileServer) -> None:
    server.alter(r"(simple|packages)/.*", flip_byte)


def be_incomplete(world: World, server: HostileServer) -> None:
    server.withhold(r"packages/.*")


def be_stale(world: World, server: HostileServer) -> None:
    """Show an older state than the one that the client has seen."""
    server.folder = world.folder / "kept"


def be_slow(world: World, server: HostileServer) -> None:
    def drip(data: bytes) -> Iterator[bytes]:
        for at in range(0, len(data), 8):
            yield data[at : at + 8]
            time.sleep(0.1)

    server.alter(r"packages/.*\.whl", drip)


@dataclass(frozen=True)
class Fault:
    """A fault of a mirror.

    Attributes:
        act: Brings it about.
        is_named: Whether a message names the mirror. A missing file is fetched from another mirror
            without a message.
    """

    act: Callable[[World, HostileServer], None]
    is_named: bool = True


FAULTS = {
    "dead": Fault(be_dead),
    "bad metadata": Fault(be_bad),
    "bad files": Fault(have_bad_files),
    "incomplete": Fault(be_incomplete, is_named=False),
    "stale": Fault(be_stale),
    "slow": Fault(be_slow),
}


@pytest.fixture
def mirror(world: World) -> Iterator[HostileServer]:
    """Another server with the same files."""
    with serve_hostile(world.made.folder) as server:
        yield server


@pytest.fixture
def victim_of(
    world: World,
    mirror: HostileServer,
    tmp_path: Path,
    empty_environment: Path,
    enabled_environment: Path,
) -> Callable[[str], Victim]:
    """Makes the machine of a user who knows both servers, and has seen the newest state."""

    def victim_of(way: str) -> Victim:
        shutil.copytree(world.made.folder, world.folder / "kept")
        if way == "build":
            world.project, world.code = "maker", {"maker.py": MAKER_CODE}
        world.made.add(make_wheel(world.folder / "new", "other", "2.0"))
        environment = enabled_environment if way == "plugin" else empty_environment
        (tmp_path / "victim").mkdir()
        victim = Victim(
            Machine(tmp_path / "victim", environment), world, "built" if way == "build" else "app"
        )
        words = ("--root-sha256", world.made.root_sha256, "--mirror", mirror.url)
        done = victim.machine.run("trust", "add", "made", world.server.url, *words)
        assert done.code == 0, done.err
        return victim

    return victim_of


def genuine(victim: Victim, way: str) -> None:
    """Check that the installed files are the signed ones. `lock` and the gateway did so before."""
    world = victim.world
    if way == "download":
        assert (victim.place / world.wheel).read_bytes() == world.genuine
    elif way in ("install", "build", "plugin"):
        wanted = "built==1.0" if way == "build" else "app==2.0"
        assert wanted in victim.machine.freeze()


CASES = [
    pytest.param(way, name, marks=attack("several mirrors", way), id=f"{way}-{name}")
    for name in FAULTS
    for way in OF_SIGNATURES
    # Each takes half a second. The plugin's time limits cannot be shortened.
    if name != "slow" or way in ("install", "download", "gateway")
]


@pytest.mark.parametrize(("way", "name"), CASES)
def test_a_place_that_fails_is_passed_over_and_named(
    victim_of: Callable[[str], Victim],
    world: World,
    mirror: HostileServer,
    way: str,
    name: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    victim = victim_of(way)
    if name == "slow":
        impatient(monkeypatch, re.escape(world.server.url) + r"packages/.*\.whl", 0.5)
    FAULTS[name].act(world, world.server)
    outcome = WAYS[way](victim)

    assert outcome.code == 0, outcome
    genuine(victim, way)
    said = outcome.said + capsys.readouterr().err
    if FAULTS[name].is_named:
        assert f"{world.server.url} is passed over, and {mirror.url} is asked" in said, said


@pytest.mark.parametrize(
    ("one", "other", "code"), [("dead", "dead", 1), ("dead", "bad files", 3), ("stale", "dead", 3)]
)
def test_where_every_place_fails_nothing_is_installed(
    victim_of: Callable[[str], Victim],
    world: World,
    mirror: HostileServer,
    one: str,
    other: str,
    code: int,
) -> None:
    victim = victim_of("install")
    before, versions = victim.everything(), victim.versions()
    FAULTS[one].act(world, world.server)
    FAULTS[other].act(world, mirror)
    outcome = WAYS["install"](victim)
    assert outcome.code == code, outcome
    assert "Traceback" not in outcome.said
    assert victim.everything() == before
    assert victim.versions() == versions


def test_a_place_that_is_passed_over_is_asked_for_nothing_more(
    victim_of: Callable[[str], Victim], world: World, mirror: HostileServer
) -> None:
    """Nothing is prefetched from it either: all threads would wait for a silent server."""
    victim = victim_of("install")
    FAULTS["dead"].act(world, world.server)
    assert WAYS["install"](victim).code == 0
    assert any("simple/lib" in path for path in mirror.seen)
    assert not any("lib" in path for path in world.server.seen)
