"""Files, folders and variables around the user change no code that runs, and no check."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.attacks.refusals import assert_explained, assert_refused
from tests.support.hostile import HostileServer, flip_byte
from tests.support.machine import Machine
from tests.support.repositories import make_repository
from tests.support.wheels import make_wheel


def test_libraries_in_the_current_folder_are_not_run(
    client: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`python -m` would import them, from a checkout or a folder of downloads."""
    here = tmp_path / "here"
    here.mkdir()
    for name in ("requests", "packaging", "platformdirs", "tuf", "resolvelib", "pip", "filelock"):
        (here / f"{name}.py").write_text("raise SystemExit('this was run')\n")
    monkeypatch.chdir(here)
    done = client.process("install", "--python", client.environment, "app")
    assert done.code == 0, done.err
    switched_off = "--unsafely-disable-package-verification"
    done = client.process("install", switched_off, "--no-index", "nothing")
    assert "Could not find a version" in done.err
    assert "this was run" not in done.err


def test_verification_is_not_switched_off_by_a_variable_or_a_file(
    client: Machine, hostile: HostileServer, tmp_path: Path
) -> None:
    hostile.alter(r"packages/app/.*\.whl", flip_byte)
    variable = {"PIP_UNSAFELY_DISABLE_PACKAGE_VERIFICATION": "1"}
    assert_refused(client.install("app", **variable), hostile)
    file = tmp_path / "pip.conf"
    file.write_text("[install]\nunsafely-disable-package-verification = true\n")
    assert_refused(client.install("app", PIP_CONFIG_FILE=str(file)), hostile)


def test_a_folder_of_trust_that_others_may_write_to_is_not_believed(
    client: Machine, tmp_path: Path
) -> None:
    (tmp_path / "data").chmod(0o777)
    done = client.install("app")
    assert done.code == 1
    assert_explained(done)
    assert "is not yours alone" in done.err


def test_a_cache_that_others_may_write_to_is_not_used(client: Machine, tmp_path: Path) -> None:
    """Pip's cache is often shared, and has built wheels by their name."""
    shared = tmp_path / "shared"
    (shared / "securepip").mkdir(parents=True)
    (shared / "securepip").chmod(0o777)
    done = client.install("app", PIP_CACHE_DIR=str(shared))
    assert done.code == 0, done.err
    assert "The cache has been disabled" in done.err
    assert list((shared / "securepip").iterdir()) == []


def test_a_file_of_a_configured_folder_is_never_taken_in_silence(
    client: Machine, tmp_path: Path
) -> None:
    """The folder was perhaps configured for pip long ago, and others may write to it."""
    make_wheel(tmp_path / "shared", "app", "9.0")
    done = client.install("app", PIP_FIND_LINKS=str(tmp_path / "shared"))
    assert done.code == 0, done.err
    assert "app-9.0-py3-none-any.whl, local and not signed, for app; 2.0 is signed" in done.out


def test_what_an_environment_says_of_itself_brings_no_unsigned_file(
    client: Machine, tmp_path: Path
) -> None:
    make_wheel(tmp_path / "shared", "app", "9.0")
    file = client.environment / "pip.conf"
    file.write_text(f"[global]\nno-index = true\nfind-links = {tmp_path / 'shared'}\n")
    done = client.install("app", PIP_CONFIG_FILE="")
    assert done.code == 0, done.err
    assert "app==2.0" in client.freeze()
    assert f"Not obeying find-links = {tmp_path / 'shared'}" in done.out
    # The attack works on plain pip.
    assert client.pip("install", "-U", "app", PIP_CONFIG_FILE="").code == 0
    assert "app==9.0" in client.freeze()


def test_neither_an_environment_nor_a_variable_chooses_which_repository_speaks(
    client: Machine, tmp_path: Path
) -> None:
    strange = make_repository(
        tmp_path / "strange", make_wheel(tmp_path / "built", "app", "99.0", files={"x.py": "evil"})
    )
    index = "https://packages.example.org/strange/"
    words = ("--root-sha256", strange.root_sha256, "--index-url", index)
    assert client.run("trust", "add", "strange", str(strange.folder), *words).code == 0
    (client.environment / "pip.conf").write_text(f"[global]\nindex-url = {index}\n")
    done = client.install("--dry-run", "app", PIP_CONFIG_FILE="", PIP_REPOSITORY="strange")
    assert "Would install app-2.0 lib-1.0" in done.out, done.err
    assert f"Not obeying index-url = {index}" in done.out
    # Named on the command line, it is used.
    for named in (("--index-url", index), ("--repository", "strange")):
        assert "Would install app-99.0" in client.install("--dry-run", "app", *named).out
