"""A digest that becomes known after the page was signed also binds the file."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.indexes import Index, serve_index
from tests.support.machine import Machine
from tests.support.wheels import make_wheel

WHEEL = "app-2.0-py3-none-any.whl"


@pytest.fixture
def mirror(tmp_path: Path) -> Iterator[Index]:
    """A mirror of the index: its ``app`` 2.0 has other code."""
    with serve_index() as mirror:
        code = {"app/__init__.py": "VERSION = 'evil'\n"}
        mirror.offer(
            make_wheel(tmp_path / "mirror", "app", "1.0"),
            make_wheel(tmp_path / "mirror", "app", "2.0", requires=["lib"], files=code),
            make_wheel(tmp_path / "mirror", "lib", "1.0"),
        )
        yield mirror


def test_a_file_without_a_sha256_is_bound_by_what_another_index_has_shown_since(
    protected: Machine, index: Index, mirror: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its page was signed before, and is not asked for again within ten minutes."""
    monkeypatch.setattr("securepip.first_use.memory.FRESH_SECONDS", 600.0)
    mirror.says_sha256 = False
    protected.run("trust", "first-use", "--index-url", index.url, "--any-index")
    assert protected.install("--index-url", mirror.url, "app==1.0").code == 0
    assert protected.install("app==2.0").code == 0
    protected.remove("app", "lib")

    done = protected.install("--no-cache-dir", "--index-url", mirror.url, "app==2.0")
    assert (done.code, protected.freeze()) == (3, []), done.err
    assert f"trust accept-change {WHEEL}" in done.err
    assert protected.run("trust", "accept-change", WHEEL).code == 0
    done = protected.install("--no-cache-dir", "--index-url", mirror.url, "app==2.0")
    assert done.code == 0, done.err


@pytest.mark.parametrize("says_sha256", [True, False])
def test_a_memory_file_binds_a_machine_that_has_seen_other_bytes_before(
    machine: Machine, index: Index, mirror: Index, tmp_path: Path, *, says_sha256: bool
) -> None:
    memory = tmp_path / "seen.txt"
    command = ("trust", "first-use", "--index-url", index.url, "--memory", memory)
    assert machine.run(*command).code == 0
    assert machine.install("app").code == 0
    machine.remove("app", "lib")

    other = {"SECUREPIP_DATA_DIR": str(tmp_path / "other")}
    mirror.says_sha256 = says_sha256
    fooled = ("trust", "first-use", "--index-url", mirror.url)
    assert machine.run(*fooled, **other).code == 0
    assert machine.install("app", **other).code == 0
    assert machine.version_of("app") == "evil"
    machine.remove("app", "lib")

    assert machine.run(*fooled, "--memory", memory, **other).code == 0
    done = machine.install("app", **other)
    assert (done.code, machine.freeze()) == (3, []), done.err
    assert f"trust accept-change {WHEEL}" in done.err
    assert machine.run("trust", "accept-change", WHEEL, **other).code == 0
    assert machine.install("app", **other).code == 0


def test_who_accepts_a_change_at_one_index_accepts_no_other_bytes_at_another(
    protected: Machine, index: Index, mirror: Index, tmp_path: Path
) -> None:
    """A mirror that was refused long ago would be believed with it."""
    protected.run("trust", "first-use", "--index-url", index.url, "--any-index")
    assert protected.install("app==2.0").code == 0
    protected.remove("app", "lib")
    at_mirror = ("--index-url", mirror.url, "app==2.0")
    assert protected.install(*at_mirror).code == 3
    code = {"app/__init__.py": "VERSION = 'built anew'\n"}
    index.offer(make_wheel(tmp_path / "new", "app", "2.0", requires=["lib"], files=code))
    assert protected.install("app==2.0").code == 3

    listed = json.loads(protected.run("trust", "list", "--json").out)["repositories"]
    (own,) = (each["name"] for each in listed if each["address"] == index.url)
    done = protected.run("trust", "accept-change", WHEEL)
    assert done.code == 2, done.out
    assert done.err.count("sha256 ") == 2
    assert f"trust accept-change {WHEEL} --repository {own}" in done.err
    done = protected.run("trust", "accept-change", WHEEL, "--repository", own)
    assert done.code == 0, done.err
    assert index.projects["app"][WHEEL].sha256 in done.out
    assert protected.install(*at_mirror).code == 3
    assert protected.freeze() == []
    assert protected.install("app==2.0").code == 0
    assert protected.version_of("app") == "built anew"
