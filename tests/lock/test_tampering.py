"""A lock says what is wanted; what is signed decides whether it may be had."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from securepip.formats.digests import sha256_of
from tests.support.hostile import HostileServer, flip_byte
from tests.support.machine import Machine
from tests.support.repositories import MadeRepository
from tests.support.wheels import make_wheel


def changed(lock: Path, old: str, new: str) -> Path:
    text = lock.read_text(encoding="utf-8")
    assert old in text
    lock.write_text(text.replace(old, new), encoding="utf-8")
    return lock


def entry(name: str, source: str, *, head: str = "") -> str:
    return (
        f'lock-version = "1.0"\ncreated-by = "a test"\n{head}\n[[packages]]\nname = "{name}"\n'
        f"{source}\n"
    )


def test_a_hash_that_was_not_signed_is_a_failed_verification(client: Machine, locked: Path) -> None:
    sha256 = locked.read_text().split('sha256 = "')[1][:64]
    done = client.install("-r", changed(locked, sha256, "0" * 64))
    assert done.code == 3
    assert "disagree about app-2.0-py3-none-any.whl" in done.err
    assert sha256 in done.err
    assert client.freeze() == []


@pytest.mark.parametrize("right", [True, False])
def test_another_hash_than_sha256_is_compared_with_the_signed_bytes(
    client: Machine, made: MadeRepository, locked: Path, right: bool
) -> None:
    (app,) = (made.folder / "packages" / "app").glob("app-2.0-py3-none-any.whl")
    sha256 = locked.read_text().split('sha256 = "')[1][:64]
    sha512 = hashlib.sha512(app.read_bytes()).hexdigest() if right else "0" * 128
    done = client.install("-r", changed(locked, f'sha256 = "{sha256}"', f'sha512 = "{sha512}"'))
    assert done.code == (0 if right else 3), done.err
    assert client.freeze() == (["app==2.0", "lib==1.0"] if right else [])
    assert right or "Expected sha512 00000" in done.err


def test_a_size_that_was_not_signed_is_a_failed_verification(client: Machine, locked: Path) -> None:
    done = client.install("-r", changed(locked, "size = ", "size = 9"))
    assert done.code == 3
    assert "disagree" in done.err


def test_the_signed_file_is_taken_wherever_the_lock_says_that_it_is(
    client: Machine, hostile: HostileServer, locked: Path
) -> None:
    elsewhere = changed(locked, f"{hostile.url}packages/", "http://127.0.0.1:9/elsewhere/")
    done = client.install("-r", elsewhere)
    assert done.code == 0, done.err
    assert client.freeze() == ["app==2.0", "lib==1.0"]


def test_bytes_that_were_changed_on_their_way_are_not_installed(
    client: Machine, hostile: HostileServer, locked: Path
) -> None:
    hostile.alter(r"packages/lib/.*\.whl", flip_byte)
    done = client.install("-r", locked)
    assert done.code == 3
    assert client.freeze() == []


def test_a_file_that_nobody_signed_is_refused(
    client: Machine, locked: Path, tmp_path: Path
) -> None:
    for old, new in (("app-2.0-py3", "app-2.0-1-py3"), ('"app', '"stranger')):
        lock = tmp_path / "pylock.other.toml"
        lock.write_bytes(locked.read_bytes())
        done = client.install("-r", changed(lock, old, new))
        assert done.code == 1
        assert "No trusted repository has signed it" in done.err
    assert client.freeze() == []


def test_what_is_in_version_control_is_refused_with_the_reason(
    client: Machine, tmp_path: Path
) -> None:
    lock = tmp_path / "pylock.toml"
    vcs = '{ type = "git", url = "https://packages.example.org/app.git", commit-id = "abc" }'
    lock.write_text(entry("app", f"vcs = {vcs}"))
    done = client.install("-r", lock)
    assert done.code == 1
    assert "version control" in done.err


def test_an_archive_needs_the_hash_that_the_lock_gives(client: Machine, tmp_path: Path) -> None:
    wheel = make_wheel(tmp_path / "links", "mine", "1.0")
    lock = tmp_path / "pylock.toml"
    where = f'archive = {{ path = "links/{wheel.name}", hashes = {{ '
    lock.write_text(entry("mine", f'{where}sha256 = "{"0" * 64}" }} }}'))
    assert client.install("-r", lock).code == 3
    lock.write_text(entry("mine", f'{where}md5 = "{"0" * 32}" }} }}'))
    done = client.install("-r", lock)
    assert done.code == 1
    assert "no sha256 or sha384 or sha512 hash" in done.err


@pytest.mark.parametrize(
    ("source", "why"),
    [
        ('directory = { path = "{folder}" }', "no repository signs it"),
        ('archive = { path = "{wheel}", {hashes} }', "no repository signs it"),
        ('archive = { url = "file://{wheel}", {hashes} }', "no repository signs it"),
        ('wheels = [{ name = "{name}", url = "file://{wheel}", {hashes} }]', "on this machine"),
        ('wheels = [{ name = "{name}", url = "FILE:{wheel}", {hashes} }]', "on this machine"),
        ('wheels = [{ name = "{name}", path = "file://{wheel}", {hashes} }]', "its location"),
        ('wheels = [{ name = "{name}", path = "{wheel}", {hashes} }]', "its location"),
        ('wheels = [{ name = "{name}", path = "//localhost{wheel}", {hashes} }]', "its location"),
    ],
)
def test_a_lock_from_elsewhere_chooses_nothing_on_this_machine(
    client: Machine, hostile: HostileServer, tmp_path: Path, source: str, why: str
) -> None:
    wheel = make_wheel(tmp_path / "links", "mine", "1.0")
    hashes = f'hashes = {{ sha256 = "{sha256_of(wheel.read_bytes())}" }}'
    for mark, value in (
        ("{folder}", str(wheel.parent)),
        ("{wheel}", str(wheel)),
        ("{name}", wheel.name),
        ("{hashes}", hashes),
    ):
        source = source.replace(mark, value)
    hostile.alter("pylock.toml", lambda data: entry("mine", source).encode())
    done = client.install("-r", f"{hostile.url}pylock.toml")
    assert done.code == 1
    assert "pylock" in done.err
    assert why in done.err
    assert client.version_of("mine") is None


def test_a_path_in_a_lock_from_elsewhere_is_there_too_and_must_be_signed(
    client: Machine, hostile: HostileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same path on this machine, from where the user stands, is not what it means."""
    wheel = make_wheel(tmp_path / "links", "mine", "1.0")
    monkeypatch.chdir(wheel.parent)
    hashes = f'hashes = {{ sha256 = "{sha256_of(wheel.read_bytes())}" }}'
    source = f'wheels = [{{ name = "{wheel.name}", path = "{wheel.name}", {hashes} }}]'
    hostile.alter("pylock.toml", lambda data: entry("mine", source).encode())
    done = client.install("-r", f"{hostile.url}pylock.toml")
    assert done.code == 1
    assert "No trusted repository knows mine-1.0" in done.err
    assert client.version_of("mine") is None


def test_only_what_the_markers_and_the_python_admit_is_installed(
    client: Machine, locked: Path
) -> None:
    changed(locked, 'name = "lib"\n', 'name = "lib"\nmarker = "python_version < \'3\'"\n')
    assert client.install("--no-deps", "-r", locked).code == 0
    assert client.freeze() == ["app==2.0"]
    for head in ('requires-python = "<3"', "environments = [\"sys_platform == 'vms'\"]"):
        lock = locked.with_name("pylock.head.toml")
        lock.write_text(locked.read_text().replace("[[packages]]", f"{head}\n[[packages]]", 1))
        done = client.install("-r", lock)
        assert done.code == 1
        assert "Cannot select requirements from pylock file" in done.err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--no-binary", "app"), "No binaries permitted for app"),
        (("--uploaded-prior-to", "2020-01-01"), "not prior to 2020-01-01"),
        (("--no-index",), "--no-index"),
        (("app<2",), "The requirement app<2 is not compatible with version 2.0"),
        (
            ("--python-version", "3.9", "--only-binary", ":all:", "--dry-run"),
            "are not supported when selecting requirements from",
        ),
    ],
)
def test_a_command_line_that_contradicts_the_lock_is_an_error(
    client: Machine, locked: Path, words: tuple[str, ...], message: str
) -> None:
    done = client.install("-r", locked, *words)
    assert done.code == 1
    assert message in done.err
    assert client.freeze() == []


def test_two_locks_of_one_project_are_an_error(client: Machine, locked: Path) -> None:
    other = locked.with_name("pylock.other.toml")
    other.write_bytes(locked.read_bytes())
    done = client.install("-r", locked, "-r", other)
    assert done.code == 1
    assert "Multiple locked links provided for app" in done.err
