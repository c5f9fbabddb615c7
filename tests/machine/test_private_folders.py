"""State and cache are the user's alone; what was built is believed only with the user's mark."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from securepip.dirs import Seal
from securepip.formats.digests import sha256_of
from tests.support.hostile import HostileServer, serve_hostile
from tests.support.machine import Machine
from tests.support.repositories import MadeRepository
from tests.support.wheels import make_sdist, make_wheel


@pytest.fixture
def served(made: MadeRepository, machine: Machine, tmp_path: Path) -> Iterator[HostileServer]:
    """A trusted repository whose ``built`` is an sdist."""
    made.add(make_sdist(tmp_path / "honest", "built", "1.0"))
    with serve_hostile(made.folder) as server:
        machine.trust(made, server.url)
        yield server


@pytest.fixture
def group_umask() -> Iterator[None]:
    """The umask of systems on which a user's group may write what the user writes."""
    before = os.umask(0)
    yield
    os.umask(before)


def _open_to_others(folder: Path) -> list[str]:
    return [
        f"{path.relative_to(folder)} {stat.filemode(path.lstat().st_mode)}"
        for path in sorted([folder, *folder.rglob("*")])
        if not path.is_symlink() and path.lstat().st_mode & 0o077
    ]


@pytest.mark.usefixtures("group_umask")
def test_all_that_is_written_is_for_the_user_alone_whatever_the_umask(
    made: MadeRepository, machine: Machine, tmp_path: Path
) -> None:
    machine.variables["SECUREPIP_DATA_DIR"] = str(tmp_path / "deep" / "in" / "data")
    machine.variables["SECUREPIP_CACHE_DIR"] = str(tmp_path / "deep" / "in" / "cache")
    made.add(make_sdist(tmp_path / "honest", "built", "1.0"))
    with serve_hostile(made.folder) as server:
        machine.trust(made, server.url)
        assert machine.install("built", "app").code == 0
    assert machine.run("repo", "init", tmp_path / "own", "--expected-files", "1").code == 0
    assert machine.run("gateway", "--", "true").code == 0
    written = tmp_path / "deep"
    assert {"map.json", "cache-secret", "mark"} <= {path.name for path in written.rglob("*")}
    assert _open_to_others(written) == []


def test_a_built_wheel_that_was_replaced_together_with_its_mark_is_built_anew(
    machine: Machine, served: HostileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert machine.install("built").code == 0
    honest = machine.version_of("built")
    evil = make_wheel(tmp_path / "evil", "built", "1.0", files={"built/__init__.py": "V = 'evil'"})

    def replace() -> None:
        machine.remove("built")
        (kept,) = (machine.folder / "cache" / "wheels").rglob("*.whl")
        shutil.copyfile(evil, kept)
        facts = ("built wheel", kept.parent.name, kept.name, sha256_of(evil.read_bytes()))
        (kept.parent / "mark").write_text(Seal(b"the secret of another").mark(*facts))

    replace()
    done = machine.install("built")
    assert done.code == 0
    assert "Using cached built-1.0-py3" not in done.out
    assert machine.version_of("built") == honest

    # Without the check the other wheel is installed.
    replace()
    monkeypatch.setattr(Seal, "proves", lambda *everything: True)
    assert machine.install("built").code == 0
    assert (machine.site_packages / "built" / "__init__.py").read_text() == "V = 'evil'"


def test_a_cache_from_another_machine_serves_what_is_signed_and_nothing_that_was_built(
    machine: Machine, served: HostileServer, tmp_path: Path
) -> None:
    assert machine.install("built").code == 0
    machine.remove("built")
    again = machine.install("built")
    assert "Using cached built-1.0-py3" in again.out
    machine.remove("built")

    (machine.folder / "data" / "cache-secret").unlink()
    served.withhold(r".*\.tar\.gz", 500)
    elsewhere = machine.install("built")
    assert elsewhere.code == 0
    assert "Using cached built-1.0-py3" not in elsewhere.out


@pytest.mark.parametrize("below", ["store", "store/sha256"])
def test_a_cache_that_others_may_write_to_is_named_and_not_used(
    client: Machine, below: str
) -> None:
    assert client.install("app").code == 0
    folder = client.folder / "cache" / below
    folder.chmod(0o770)
    before = {path for path in folder.rglob("*") if path.is_file()}
    client.remove("app")
    done = client.install("app", "other")
    assert done.code == 0, done.err
    assert f"the folder {folder} is not yours alone" in done.err
    assert "The cache has been disabled" in done.err
    assert {path for path in folder.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("below", ["wheels", "wheels/answers"])
def test_built_wheels_that_others_may_write_to_are_not_used(
    machine: Machine, served: HostileServer, below: str
) -> None:
    assert machine.install("built").code == 0
    machine.remove("built")
    folder = machine.folder / "cache" / below
    folder.chmod(0o775)
    done = machine.install("built")
    assert done.code == 0, done.err
    assert f"the folder {folder} is not yours alone" in done.err
    assert "Using cached built-1.0-py3" not in done.out


@pytest.mark.parametrize("below", ["trust", "trust/made", "trust/made/metadata"])
def test_state_that_others_may_write_to_is_named_and_nothing_is_installed(
    client: Machine, below: str
) -> None:
    assert client.install("lib").code == 0
    folder = client.folder / "data" / below
    folder.chmod(0o770)
    done = client.install("app")
    assert done.code == 1
    assert f"the folder {folder} is not yours alone" in done.err
    assert client.version_of("app") is None


def test_a_secret_that_others_can_read_is_not_used(machine: Machine, served: HostileServer) -> None:
    assert machine.install("built").code == 0
    machine.remove("built")
    (machine.folder / "data" / "cache-secret").chmod(0o644)
    done = machine.install("built")
    assert done.code == 0
    assert "cache-secret is a secret, and others can read it" in done.err
    assert "Using cached built-1.0-py3" not in done.out
