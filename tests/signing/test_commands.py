"""The commands ``securepip repo …``, as an operator types them."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest

from securepip.cli import main
from tests.signing.clients import fetch_everything, read_plainly
from tests.support.machine import Machine
from tests.support.repositories import MadeRepository
from tests.support.wheels import make_sdist, make_wheel


@pytest.fixture(autouse=True)
def data_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SECUREPIP_DATA_DIR", str(tmp_path / "data"))
    return tmp_path / "data"


def test_a_repository_from_init_to_status(
    tmp_path: Path, data_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "my repository"
    assert main(["repo", "init", str(folder), "--expected-files", "10"]) == 0
    said = capsys.readouterr()
    assert said.err.count("\n") == 1
    assert "unencrypted" in said.err
    assert "Take the offline keys away" in said.out
    root = re.search(r"root sha256:\s+([0-9a-f]{64})\n", said.out)
    assert root
    assert f"trust add NAME '{folder}' --root-sha256 {root[1]}" in said.out
    assert "instead of the folder, the URL" in said.out
    (keys,) = (data_dir / "keys").iterdir()
    assert {path.name for path in keys.iterdir()} == {"online", "offline"}
    assert data_dir.stat().st_mode & 0o777 == 0o700

    assert main(["repo", "status", str(folder)]) == 0
    assert "Offline keys are still on this machine" in capsys.readouterr().err
    shutil.rmtree(keys / "offline")
    files = [make_wheel(tmp_path, "one", "1.0"), make_sdist(tmp_path, "two", "1.0")]
    assert main(["repo", "add", str(folder), *map(str, files)]) == 0
    assert "Published: one two" in capsys.readouterr().out
    assert main(["repo", "add", str(folder), str(files[0])]) == 0
    assert "Nothing to do" in capsys.readouterr().out
    assert main(["repo", "remove", str(folder), "two"]) == 0
    assert "Removed two-1.0.tar.gz" in capsys.readouterr().out
    assert main(["repo", "refresh", str(folder)]) == 0
    capsys.readouterr()
    assert main(["repo", "status", str(folder)]) == 0
    said = capsys.readouterr()
    assert "1 project, 1 file" in said.out
    assert said.out.startswith("No signature needs a person before ")
    assert "claimed           " in said.out and str(keys) not in said.out
    assert max(map(len, said.out.splitlines())) <= 80 and said.out.count("\n") < 24
    assert said.err == ""
    assert main(["repo", "status", str(folder), "-v"]) == 0
    assert "key here: " in capsys.readouterr().out
    assert main(["repo", "status", str(folder), "--json"]) == 0
    status = json.loads(capsys.readouterr().out)
    assert (status["projects"], status["files"], status["problem"]) == (1, 1, None)
    here = {role["name"]: len(role["keys_here"]) for role in status["roles"]}
    assert here["root"] == 0 and here["timestamp"] == 1
    assert len(fetch_everything(folder, tmp_path / "client")) == 2
    assert read_plainly(folder) == {"one-1.0-py3-none-any.whl"}
    assert main(["repo", "add", str(folder), str(files[1])]) == 1
    assert "--restore" in capsys.readouterr().err
    assert main(["repo", "add", str(folder), "--restore", str(files[1])]) == 0


@pytest.mark.usefixtures("quick_passphrases")
def test_keys_can_be_elsewhere_and_encrypted(
    tmp_path: Path, data_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, secret = str(tmp_path / "repository"), tmp_path / "secret"
    secret.write_text("open sesame\n")
    options = ["--keys", str(tmp_path / "on"), "--passphrase-file", str(secret)]
    offline = ["--offline-keys", str(tmp_path / "off")]
    assert main(["repo", "init", folder, "--expected-files", "1", *options, *offline]) == 0
    assert capsys.readouterr().err == ""
    assert not data_dir.exists()
    wheel = str(make_wheel(tmp_path, "one", "1.0"))
    assert main(["repo", "add", folder, wheel, "--no-input"]) == 1
    assert "--passphrase-file" in capsys.readouterr().err
    assert main(["repo", "add", folder, wheel, *options]) == 0
    secret.write_text("open wheat\n")
    other = str(make_wheel(tmp_path, "one", "2.0"))
    assert main(["repo", "add", folder, other, *options]) == 1
    secret.write_text("")
    assert main(["repo", "add", folder, other, *options]) == 2


def test_an_offline_role_that_expires_soon_makes_everyday_commands_fail_loudly(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from datetime import datetime, timedelta, timezone

    from securepip.signing.publish import refresh
    from securepip.signing.repository import commit

    folder, offline = str(tmp_path / "repository"), str(tmp_path / "off")
    init = ["repo", "init", folder, "--expected-files", "1", "--offline-keys", offline]
    assert main([*init, "--expiry", "claimed=20", "--expiry", "root=1000"]) == 0
    moment = datetime.now(timezone.utc).replace(microsecond=0) + timedelta(days=16)
    for module in (commit, refresh):
        monkeypatch.setattr(module, "now", lambda: moment)
    capsys.readouterr()
    assert main(["repo", "refresh", folder]) == 1
    said = capsys.readouterr()
    assert "Signed: snapshot, timestamp" in said.out
    assert "The role claimed expires on" in said.err
    assert f"securepip repo refresh {folder} --offline-keys DIR" in said.err
    (tmp_path / "index").mkdir()
    wheel = make_wheel(tmp_path, "one", "1.0")
    everyday = (
        ["repo", "status", folder],
        ["repo", "add", folder, str(wheel)],
        ["repo", "sync", folder, "--upstream", str(tmp_path / "index")],
    )
    for command in everyday:
        assert main(command) == 1
        assert "The role claimed expires on" in capsys.readouterr().err
    assert main(["repo", "refresh", folder, "--offline-keys", offline]) == 0
    assert "claimed" in capsys.readouterr().out
    for command in everyday:
        assert main(command) == 0


@pytest.mark.parametrize(
    "words",
    [
        ["init", "new", "--expiry", "root"],
        ["status", "nowhere"],
        ["add", "nowhere", "one-1.0-py3-none-any.whl"],
        ["refresh", "nowhere", "--keys", "missing"],
    ],
)
def test_what_makes_no_sense_is_refused_and_makes_nothing(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["repo", *words]) in (1, 2)
    assert list(tmp_path.iterdir()) == []


def test_what_needs_somebody_or_something_that_is_not_here_says_how_to_name_it(
    made: MadeRepository, machine: Machine, tmp_path: Path
) -> None:
    made.offline_keys.rename(tmp_path / "elsewhere")
    rotated = machine.run("repo", "rotate", made.folder, "claimed")
    assert rotated.code == 1
    assert "securepip repo rotate DIR claimed --offline-keys FOLDER" in rotated.err
    bundle = tmp_path / "bundle"
    prepared = machine.run("repo", "ceremony", "prepare", made.folder, bundle, "--renew", "claimed")
    assert prepared.code == 0, prepared.err
    signed = machine.run("repo", "ceremony", "sign", bundle, "--keys", tmp_path / "elsewhere")
    assert signed.code == 2
    assert "no terminal" in signed.err and "ceremony sign BUNDLE --yes" in signed.err


def test_an_unknown_option_shows_the_usage_of_its_own_command(machine: Machine) -> None:
    done = machine.run("repo", "sync", "folder", "--no-such", "dev")
    assert done.code == 2
    assert done.err.startswith("usage: securepip repo sync ")
    assert "error: unrecognized arguments: --no-such dev" in done.err
