"""pip with the plugin or the gateway, and an index that is trusted on first use."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.plugin.conftest import run_pip
from tests.support.indexes import Index, serve_index
from tests.support.machine import Finished, Machine
from tests.support.wheels import make_wheel

Pip = Callable[..., Finished]


@pytest.fixture
def index(tmp_path: Path) -> Iterator[Index]:
    """``app`` 2.0, which requires ``lib``.

    The index has no lengths and no metadata, and no digest of ``lib``.
    """
    with serve_index() as index:
        index.says_sizes = index.says_metadata = False
        index.offer(
            make_wheel(tmp_path / "published", "app", "2.0", requires=["lib"]),
            make_wheel(tmp_path / "published", "lib", "1.0"),
        )
        index.projects["lib"]["lib-1.0-py3-none-any.whl"].fields["hashes"] = {}
        yield index


@pytest.fixture(params=["plugin", "gateway"])
def machine_and_pip(request: pytest.FixtureRequest, index: Index) -> tuple[Machine, Pip]:
    """A machine that trusts the index on first use, and a pip that verifies."""
    machine: Machine
    if request.param == "plugin":
        machine = request.getfixturevalue("plugged")

        def pip(*words: str) -> Finished:
            return run_pip(machine, *words)
    else:
        machine = request.getfixturevalue("plain")

        def pip(*words: str) -> Finished:
            return machine.process("gateway", "--", machine.python, "-m", "pip", *words)

    done = machine.run("trust", "first-use", "--index-url", index.url)
    assert done.code == 0, done.err
    return machine, pip


def forget_freshness(machine: Machine, name: str = "127.0.0.1") -> None:
    """Make the pages as old as after ten minutes."""
    ledger = machine.folder / "data" / "first-use" / name / "state" / "ledger.sqlite3"
    with closing(sqlite3.connect(ledger)) as connection, connection:
        connection.execute("DELETE FROM asked")


def test_pip_installs_from_an_index_that_says_little(machine_and_pip: tuple[Machine, Pip]) -> None:
    """``first_use/test_by_each_way`` tests what is refused."""
    machine, pip = machine_and_pip
    done = pip("install", "--no-compile", "app")
    assert done.code == 0, done.err
    assert machine.version_of("app") == "2.0"


def test_an_index_that_pip_is_told_is_believed_at_first_sight_where_the_user_wants_that(
    machine_and_pip: tuple[Machine, Pip], index: Index, tmp_path: Path
) -> None:
    machine, pip = machine_and_pip
    with serve_index() as other:
        other.offer(make_wheel(tmp_path / "other", "tool", "1.0"))
        told = ["--no-compile", "--no-cache-dir", "--extra-index-url", other.url, "tool"]
        done = pip("install", "--index-url", index.url, *told)
        assert done.code == 1, "nobody vouches for that index"

        done = machine.run("trust", "first-use", "--index-url", index.url, "--any-index")
        assert done.code == 0, done.err
        done = pip("install", "--index-url", index.url, *told)
        assert done.code == 0, done.err
        assert pip("uninstall", "-y", "tool").code == 0

        code = {"tool/__init__.py": "VERSION = 'evil'\n"}
        evil = make_wheel(tmp_path / "evil", "tool", "1.0", files=code)
        other.offer(evil)
        forget_freshness(machine, "127.0.0.1-2")
        done = pip("install", "--index-url", index.url, *told)
        assert done.code == 1, done.out
        assert "other bytes" in done.err
        assert "securepip trust accept-change tool-1.0-py3-none-any.whl" in done.err

        assert machine.run("trust", "accept-change", evil.name).code == 0
        done = pip("install", "--index-url", index.url, *told)
        assert done.code == 0, done.err
        assert machine.version_of("tool") == "evil"
