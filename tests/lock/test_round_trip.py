"""Lock files out and in, with a real repository and a real pip."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.support.hostile import HostileServer
from tests.support.machine import Machine
from tests.support.repositories import MadeRepository
from tests.support.wheels import make_sdist, make_wheel

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


def test_a_lock_names_each_file_with_address_size_hash_and_time(
    locked: Path, hostile: HostileServer
) -> None:
    lock = tomllib.loads(locked.read_text(encoding="utf-8"))
    assert lock["lock-version"] == "1.0"
    assert [package["name"] for package in lock["packages"]] == ["app", "lib"]
    (wheel,) = lock["packages"][0]["wheels"]
    assert wheel["name"] == "app-2.0-py3-none-any.whl"
    assert wheel["url"] == f"{hostile.url}packages/app/app-2.0-py3-none-any.whl"
    published = hostile.folder / "packages" / "app" / "app-2.0-py3-none-any.whl"
    assert wheel["size"] == published.stat().st_size
    assert len(wheel["hashes"]["sha256"]) == 64
    assert wheel["upload-time"].tzinfo is not None


def test_the_same_lock_is_written_again_whatever_is_installed(
    client: Machine, locked: Path
) -> None:
    assert client.install("app<2").code == 0
    again = client.run("lock", "--python", client.environment, "app", "-o", "-", "-qq")
    assert again.code == 0
    assert again.out == locked.read_text(encoding="utf-8")


def test_a_lock_on_standard_output_stands_there_alone(client: Machine) -> None:
    done = client.run("lock", "--python", client.environment, "app", "-o", "-")
    assert done.code == 0
    assert [one["name"] for one in tomllib.loads(done.out)["packages"]] == ["app", "lib"]


def test_a_name_that_installers_would_not_know_is_warned_of(
    client: Machine, tmp_path: Path
) -> None:
    done = client.run("lock", "--python", client.environment, "app", "-o", tmp_path / "locked.toml")
    assert done.code == 0
    assert "is not a valid lock file name" in done.err


def test_exactly_what_is_locked_is_installed(client: Machine, tmp_path: Path) -> None:
    place = tmp_path / "pylock.old.toml"
    assert client.run("lock", "--python", client.environment, "app<2", "-o", place).code == 0
    done = client.install("-r", place)
    assert done.code == 0, done.err
    assert client.freeze() == ["app==1.0"]
    assert not list(client.site_packages.glob("*.dist-info/direct_url.json"))


def test_what_the_lock_lacks_is_not_resolved_beyond_it(client: Machine, tmp_path: Path) -> None:
    place = tmp_path / "pylock.toml"
    done = client.run("lock", "--python", client.environment, "--no-deps", "app", "-o", place)
    assert done.code == 0, done.err
    refused = client.install("-r", place)
    assert refused.code == 1
    assert "lib" in refused.err
    assert client.install("-r", place, "--no-deps").code == 0
    assert client.freeze() == ["app==2.0"]


def test_nothing_is_asked_of_the_network_when_all_that_is_locked_is_installed(
    client: Machine, hostile: HostileServer, locked: Path
) -> None:
    assert client.install("-r", locked).code == 0
    before = len(hostile.seen)
    again = client.install("-r", locked)
    assert again.code == 0
    assert "Requirement already satisfied: app==2.0" in again.out
    assert len(hostile.seen) == before


def test_pip_installs_what_we_lock(client: Machine, locked: Path) -> None:
    done = client.pip("install", "-r", locked, "--no-cache-dir")
    assert done.code == 0, done.err
    assert client.freeze() == ["app==2.0", "lib==1.0"]


def test_we_install_what_pip_locks(client: Machine, hostile: HostileServer, tmp_path: Path) -> None:
    place = tmp_path / "pylock.toml"
    index = ("--index-url", f"{hostile.url}simple/", "--no-cache-dir")
    assert client.pip("lock", "app", "-o", place, *index).code == 0
    done = client.install("-r", place)
    assert done.code == 0, done.err
    assert client.freeze() == ["app==2.0", "lib==1.0"]


def test_a_lock_at_an_address_is_read_there(
    client: Machine, hostile: HostileServer, locked: Path
) -> None:
    hostile.alter("pylock.toml", lambda data: locked.read_bytes())
    done = client.install("--dry-run", "-r", f"{hostile.url}pylock.toml")
    assert done.code == 0, done.err
    assert done.out.splitlines()[-1] == "Would install app-2.0 lib-1.0"


@pytest.mark.parametrize("is_wheel", [True, False], ids=["wheel", "sdist"])
def test_a_file_of_the_users_own_is_locked_with_its_address_and_stays_unsigned(
    client: Machine, tmp_path: Path, is_wheel: bool
) -> None:
    make = make_wheel if is_wheel else make_sdist
    file = make(tmp_path / "links", "mine", "1.0")
    place = tmp_path / "pylock.toml"
    options = ("--no-index", "--find-links", tmp_path / "links")
    done = client.run("lock", "--python", client.environment, "mine", "-o", place, *options)
    assert done.code == 0, done.err
    (package,) = tomllib.loads(place.read_text())["packages"]
    entry = package["wheels"][0] if is_wheel else package["sdist"]
    assert entry["url"] == file.as_uri()
    done = client.install("--no-index", "--dry-run", "--quiet", "--report", "-", "-r", place)
    assert done.code == 0, done.err
    assert '"local, not signed"' in done.out
    assert f'"why": "a lock file, {file}"' in done.out
    file.write_bytes(file.read_bytes() + b"changed")
    assert client.install("--no-index", "-r", place).code == 3


def test_a_wheel_named_by_path_is_locked_as_an_archive(client: Machine, tmp_path: Path) -> None:
    wheel = make_wheel(tmp_path / "links", "mine", "1.0")
    place = tmp_path / "pylock.toml"
    done = client.run("lock", "--python", client.environment, wheel, "-o", place)
    assert done.code == 0, done.err
    (package,) = tomllib.loads(place.read_text())["packages"]
    assert package["archive"]["url"] == wheel.as_uri()
    assert "version" not in package
    assert client.install("--no-index", "-r", place).code == 0
    assert client.version_of("mine") == "1.0"
    assert list(client.site_packages.glob("mine-*/direct_url.json"))


def test_the_locked_file_is_taken_though_a_better_one_was_published_since(
    machine: Machine, made: MadeRepository, tmp_path: Path
) -> None:
    place = tmp_path / "pylock.toml"
    machine.trust(made, str(made.folder))
    assert machine.run("lock", "--python", machine.environment, "lib", "-o", place).code == 0
    made.add(make_wheel(tmp_path, "lib", "1.0", build="1", files={"lib/__init__.py": "# newer"}))
    assert machine.install("--dry-run", "lib").code == 0
    done = machine.install("-r", place)
    assert done.code == 0, done.err
    assert machine.version_of("lib") == "1.0"


def test_what_is_locked_is_downloaded(client: Machine, locked: Path, tmp_path: Path) -> None:
    done = client.run("download", "-r", locked, "-d", tmp_path / "files")
    assert done.code == 0, done.err
    assert sorted(path.name for path in (tmp_path / "files").iterdir()) == [
        "app-2.0-py3-none-any.whl",
        "lib-1.0-py3-none-any.whl",
    ]
