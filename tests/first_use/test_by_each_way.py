"""Each way in refuses the same with first use: install, the gateway, and pip with the plugin.

Each server is honest first. Plain pip, beside them, takes its second answer.
"""

from __future__ import annotations

import re
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.attacks.marks import PLAIN_PIP, attack
from tests.gateway.conftest import run_gateway
from tests.plugin.conftest import run_pip
from tests.support.hostile import make_certificate
from tests.support.indexes import Index, serve_index
from tests.support.machine import Machine
from tests.support.wheels import make_wheel

WHEEL = "app-2.0-py3-none-any.whl"
EVIL = {"app/__init__.py": "VERSION = 'evil'\n"}


@dataclass
class World:
    """An index, a machine that trusts it, and the attacker's files.

    Attributes:
        index: ``app`` 1.0 and 2.0, and six releases of ``lib``.
        mirror: Another index with the same files.
        machine: Has nothing but securepip; plain pip is run on it too.
        plugged: The same user's environment with a pip that has the plugin.
        folder: For what is made meanwhile.
        certificate: That of the index.
    """

    index: Index
    mirror: Index
    machine: Machine
    plugged: Machine
    folder: Path
    certificate: Path
    stack: ExitStack = field(default_factory=ExitStack)

    def trust(self, index: Index, *rules: str) -> None:
        done = self.machine.run("trust", "first-use", "--index-url", index.url, *rules)
        assert done.code == 0, done.err

    def see(self, *names: str) -> None:
        """See the index, as an install does."""
        seen = self.machine.install("--dry-run", *names)
        assert seen.code == 0, seen.err

    def evil(self, version: str = "2.0") -> Path:
        return make_wheel(self.folder / "evil", "app", version, files=EVIL)

    def forget_caches(self) -> None:
        """Make the pages as old as after ten minutes, and empty the cache."""
        for ledger in (self.machine.folder / "data" / "first-use").glob("*/state/ledger.sqlite3"):
            never_asked = suppress(sqlite3.OperationalError)
            with never_asked, closing(sqlite3.connect(ledger)) as connection, connection:
                connection.execute("DELETE FROM asked")
        shutil.rmtree(self.machine.folder / "cache", ignore_errors=True)


def other_bytes(world: World) -> Index:
    world.trust(world.index)
    world.see("app")
    world.index.offer(world.evil())
    return world.index


def other_bytes_after_it_had_vanished(world: World) -> Index:
    world.trust(world.index)
    world.see("app")
    world.index.withdraw("app", WHEEL)
    world.see("app")
    world.index.offer(world.evil())
    return world.index


def other_bytes_from_another_mirror(world: World) -> Index:
    """The user has changed to a hostile mirror."""
    world.trust(world.index)
    world.see("app")
    (name,) = (each.name for each in (world.machine.folder / "data" / "first-use").iterdir())
    assert world.machine.run("trust", "remove", name).code == 0
    world.trust(world.mirror, "another")
    world.mirror.offer(world.evil())
    return world.mirror


def most_files_are_gone(world: World) -> Index:
    world.trust(world.index)
    world.see("lib")
    world.index.withdraw("lib", *(f"lib-1.{n}-py3-none-any.whl" for n in range(1, 6)))
    return world.index


def quarantine(world: World) -> Index:
    world.trust(world.index)
    world.see("lib")
    world.index.status["lib"] = "quarantined"
    return world.index


def a_new_release(world: World) -> Index:
    world.trust(world.index, "--min-age", "3d")
    world.see("app")
    (file,) = world.index.offer(world.evil("3.0"))
    file.upload_time = "2999-01-01T00:00:00.000000Z"
    return world.index


def a_page_from_outside_of_https(world: World) -> Index:
    secure = world.stack.enter_context(serve_index(world.certificate))
    secure.projects = {name: dict(files) for name, files in world.index.projects.items()}
    world.trust(secure)
    world.see("app")
    world.index.offer(world.evil())
    secure.moved["/simple/app/"] = f"{world.index.url}app/"
    return secure


def what_a_witness_does_not_show(world: World) -> Index:
    world.trust(world.index, "--witness", world.mirror.url)
    world.see("lib")
    world.index.offer(world.evil())
    return world.index


@dataclass(frozen=True)
class Case:
    """A refusal.

    Attributes:
        act: Lets the machine see the honest answer, and changes it; returns the index to ask.
        kind: The kind of attack.
        words: What the user reads.
        name: What the user asks for.
        fooled: The ``VERSION`` that plain pip installs.
        code: The exit code of ``install``.
        instead: What is taken in place of what is left out; None where all is refused.
    """

    act: Callable[[World], Index]
    kind: str
    words: str
    name: str = "app"
    fooled: str = "evil"
    code: int = 3
    instead: str | None = None


CASES = [
    Case(other_bytes, "arbitrary software", "other bytes"),
    Case(other_bytes_after_it_had_vanished, "arbitrary software", "other bytes"),
    Case(other_bytes_from_another_mirror, "several mirrors", "other bytes"),
    Case(most_files_are_gone, "hidden projects", "trust accept-change lib", "lib", "1.0"),
    Case(quarantine, "arbitrary software", "in quarantine", "lib", "1.5", code=1),
    Case(a_new_release, "arbitrary software", "", instead="app-2.0"),
    Case(a_page_from_outside_of_https, "redirects", "not encrypted", code=1),
    Case(what_a_witness_does_not_show, "several mirrors", "not the same everywhere"),
]


@pytest.fixture
def world(
    tmp_path: Path,
    machine: Machine,
    enabled_environment: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[World]:
    """A world whose machine has seen nothing yet."""
    (tmp_path / "plugged").mkdir()
    plugged = Machine(tmp_path / "plugged", enabled_environment)
    certificate = make_certificate(tmp_path)
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
        for each in (machine, plugged):
            each.variables.pop(name, None)
    machine.variables["PIP_CERT"] = str(certificate)
    plugged.variables |= {
        name: machine.variables[name]
        for name in ("SECUREPIP_DATA_DIR", "SECUREPIP_CACHE_DIR", "PIP_CERT")
    }
    folder = tmp_path / "published"
    with serve_index() as index, serve_index() as mirror, ExitStack() as stack:
        index.offer(make_wheel(folder, "app", "1.0"), make_wheel(folder, "app", "2.0"))
        index.offer(*(make_wheel(folder, "lib", f"1.{n}") for n in range(6)))
        mirror.projects = {name: dict(files) for name, files in index.projects.items()}
        yield World(index, mirror, machine, plugged, tmp_path, certificate, stack)


def by_install(world: World, case: Case) -> tuple[int, str]:
    done = world.machine.install("--dry-run", case.name)
    return done.code, done.out + done.err


def by_plugin(world: World, case: Case) -> tuple[int, str]:
    done = run_pip(world.plugged, "install", "--no-compile", "--no-cache-dir", case.name)
    return done.code, done.out + done.err


def by_gateway(world: World, case: Case) -> tuple[int, str]:
    """Fetch the page and its newest file, as a tool does."""
    with run_gateway(world.machine.folder / "data", cert=world.certificate) as running:
        page = running.get(
            f"simple/{case.name}/", {"Accept": "application/vnd.pypi.simple.v1+json"}
        )
        if page.status == 200:
            newest = page.json["files"][-1]["filename"]
            file = running.get(f"files/{case.name}/{newest}")
            if file.status == 200:
                return 0, f"Would install {newest}"
            page = file
        return {"verification": 3}.get(page.json["kind"], 1), f"{page.reason} {page.body.decode()}"


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(
            case,
            marks=attack(case.kind, PLAIN_PIP, "install", "plugin", "gateway", "first use"),
            id=case.act.__name__.replace("_", "-"),
        )
        for case in CASES
    ],
)
def test_what_plain_pip_takes_is_refused_by_each_way(world: World, case: Case) -> None:
    index = case.act(world)
    fooled = world.machine.pip_install(index.url, case.name)
    assert fooled.code == 0, fooled.err
    assert world.machine.version_of(case.name) == case.fooled
    world.machine.remove(case.name)

    for way in (by_install, by_gateway, by_plugin):
        world.forget_caches()
        code, said = way(world, case)
        if case.instead is not None:
            assert code == 0, said
            assert re.search(f"(Would install|Successfully installed) {case.instead}", said), said
            continue
        assert code == (1 if way is by_plugin else case.code), said
        assert case.words in said, said
        assert "Traceback" not in said
        assert not re.search(r"Would install|Successfully installed", said)
