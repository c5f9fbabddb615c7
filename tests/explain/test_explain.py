"""``securepip explain``: the chain of a file, what it refuses, and what it remembers of a run."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from securepip import last_run
from securepip.errors import VerificationError
from tests.support.hostile import HostileServer, flip_byte
from tests.support.machine import Machine
from tests.support.maintainers import Maintainers, claim
from tests.support.repositories import MadeRepository
from tests.support.wheels import make_wheel


def test_each_link_is_told_with_its_signers_on_one_screen(client: Machine) -> None:
    done = client.run("explain", "app==1.0")
    assert done.code == 0, done.err
    assert max(map(len, done.out.splitlines())) < 80
    assert len(done.out.splitlines()) < 50
    for link in ("root", "timestamp", "snapshot", "targets", "bins", "bin-", "page", "file"):
        assert f"\n  {link}" in done.out
    assert "Those who run the repository signed it." in done.out
    assert "Not checked:" in done.out
    assert "app-1.0-py3-none-any.whl" in done.out


def test_the_form_for_programs_says_who_signed_and_how_many_had_to(
    client: Machine, made: MadeRepository
) -> None:
    done = client.run("explain", "app", "--json")
    document = json.loads(done.out)
    assert (document["version"], document["claim"], document["stored"]) == (
        "2.0",
        "operator",
        False,
    )
    chain = {link["link"]: link for link in document["chain"]}
    # The page and the file may be in one bin, or in two.
    assert [name for name in chain if not name.startswith("bin-")] == [
        *("root", "timestamp", "snapshot", "targets", "bins", "page", "file")
    ]
    root = chain["root"]
    assert len(root["signed_by"]) >= root["threshold"] == 2
    known = json.loads(made.root.read_bytes())["signed"]["keys"]
    assert {one["key_id"] for one in root["signed_by"]} <= set(known)
    assert chain["file"]["sha256"] == document["sha256"]


def test_a_file_is_found_by_name_and_hash(
    client: Machine, made: MadeRepository, tmp_path: Path
) -> None:
    (wheel,) = (made.folder / "packages" / "app").glob("app-1.0-py3-none-any.whl")
    copy = tmp_path / wheel.name
    copy.write_bytes(wheel.read_bytes())
    assert client.run("explain", copy).code == 0
    copy.write_bytes(wheel.read_bytes() + b"x")
    done = client.run("explain", copy)
    assert done.code == 3
    assert "is not what made" in done.err
    mine = make_wheel(tmp_path, "app", "9.0")
    assert client.run("explain", mine).code == 1
    assert client.run("explain", make_wheel(tmp_path, "foreign", "1.0")).code == 1


def test_a_project_that_signs_for_itself_is_told_from_one_for_which_the_operator_signs(
    machine: Machine, made: MadeRepository, tmp_path: Path
) -> None:
    alice = Maintainers.of(2, threshold=2)
    claim(made, "app", alice)
    machine.trust(made, str(made.folder))
    document = json.loads(machine.run("explain", "app", "--json").out)
    assert document["claim"] == "maintainers"
    chain = {link["link"]: link for link in document["chain"]}
    assert (chain["project.app"]["threshold"], len(chain["project.app"]["signed_by"])) == (2, 2)
    assert not any(name.startswith("bin") for name in chain)
    assert json.loads(machine.run("explain", "lib", "--json").out)["claim"] == "operator"


def test_a_report_explains_each_file_under_one_key(client: Machine) -> None:
    done = client.install("app", "--dry-run", "--quiet", "--report", "-")
    items = json.loads(done.out)["install"]
    assert {item["securepip"]["file"] for item in items} == {
        "app-2.0-py3-none-any.whl",
        "lib-1.0-py3-none-any.whl",
    }
    assert all(item["securepip"]["chain"][0]["link"] == "root" for item in items)


def test_a_refusal_can_be_explained_afterwards(client: Machine, hostile: HostileServer) -> None:
    hostile.alter(".*lib-1.0-py3-none-any.whl", flip_byte)
    refused = client.install("app")
    assert refused.code == 3
    done = client.run("explain", "--last")
    assert done.code == 0
    assert "securepip install app, ended" in done.out
    assert "exit code 3" in done.out
    said = " ".join(done.out.split())
    assert "lib-1.0-py3-none-any.whl" in said and "is not what was signed" in said
    document = json.loads(client.run("explain", "--last", "--json").out)
    assert (document["refused"], document["error"]) == (True, "VerificationError")


def test_the_record_of_a_run_holds_no_secret_is_private_and_is_bounded(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SECUREPIP_DATA_DIR", str(tmp_path / "data"))
    words = [
        *("install", "--proxy", "http://me:secret@proxy.example.org", "-C", "secret"),
        *("--client-cert=secret", "app[x]==1.0", "https://me:secret@packages.example.org/a.whl"),
        *("secret@https://x", "token:secret", "a" * 100_000),
    ]
    error = VerificationError("x https://me:secret@packages.example.org/ " + "y" * 100_000)
    last_run.record(words, 3, error)
    path = tmp_path / "data" / "last-run.json"
    text = path.read_text()
    assert "secret" not in text
    assert json.loads(text)["asked"][0] == "app[x]==1.0"
    assert len(text) < 20_000
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("SECUREPIP_DATA_DIR", str(tmp_path / "file"))
    last_run.record(words, 3, error)


@pytest.mark.parametrize("words", [[], ["app", "--last"], ["no-such-file-1.0.tar.gz"]])
def test_it_is_said_what_can_be_explained(client: Machine, words: list[str]) -> None:
    assert client.run("explain", *words).code == 2
