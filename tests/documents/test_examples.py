"""The examples for CI, operators and maintainers are run, against an index on this machine."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import yaml

from securepip.formats.digests import sha256_of
from tests.support.documents import ROOT, blocks, commands
from tests.support.indexes import Index, offer_flask, serve_flask
from tests.support.machine import Finished, Machine
from tests.support.repositories import MadeRepository, serve
from tests.support.wheels import make_wheel

CI = (ROOT / "docs" / "ci.md").read_text()
OPERATE = (ROOT / "docs" / "operate.md").read_text()
_SOURCES = ROOT / "src"
_LEFT_OUT = re.compile(r"pytest|--find-links")
"""What gets securepip itself from a folder that a person made, and the project's own tests."""


@pytest.fixture
def index(tmp_path: Path) -> Iterator[Index]:
    """An index with flask 3.1.3, and blinker, which it requires."""
    with serve_flask(tmp_path / "published") as index:
        yield index


@pytest.fixture
def project(
    machine: Machine, index: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """A folder with a requirements file and an environment; the machine's pip uses the index."""
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "requirements.txt").write_text("flask\n")
    (folder / ".venv").symlink_to(machine.environment)
    machine.variables |= {"PIP_INDEX_URL": index.url, "PIP_PYTHON": ".venv"}
    monkeypatch.chdir(folder)
    return folder


def jobs() -> dict[str, list[str]]:
    """The commands of each job that the page for CI shows."""
    github, gitlab = (yaml.safe_load(block.text) for block in blocks(CI, "yaml"))
    (docker,) = blocks(CI, "dockerfile")
    steps: list[dict[str, Any]] = github["jobs"]["test"]["steps"]
    return {
        "github": [step["run"] for step in steps if "run" in step],
        "gitlab": gitlab["test"]["script"],
        "docker": re.findall(r"^RUN (.*)$", docker.text, re.MULTILINE),
    }


def run_job(lines: list[str], folder: Path, machine: Machine, state: Path) -> Finished:
    """Run the lines of a job as CI does, in a shell that stops at the first that fails."""
    tools = folder.parent / "bin"
    tools.mkdir(exist_ok=True)
    own = f'PYTHONPATH={_SOURCES} exec {sys.executable} -m securepip "$@"'
    venv = f'exec {sys.executable} "$@" --without-pip'
    for name, text in {"securepip": own, "python": venv}.items():
        (tools / name).write_text(f"#!/bin/sh\n{text}\n")
        (tools / name).chmod(0o755)
    script = "\n".join(line for line in lines if not _LEFT_OUT.search(line))
    return machine.command(
        "/bin/bash",
        "-ec",
        f"cd {folder}; {script}",
        PATH=f"{tools}{os.pathsep}{os.environ['PATH']}",
        SECUREPIP_DATA_DIR=str(state),
    )


def test_the_job_for_ci_passes_and_refuses_a_forged_wheel(
    machine: Machine, index: Index, project: Path, tmp_path: Path
) -> None:
    first = blocks(CI)[0]
    for words in first.commands():
        done = machine.run(*words)
        assert done.code == 0, (words, done.err)
    own = {"GIT_AUTHOR_NAME": "a", "GIT_AUTHOR_EMAIL": "a@example.org"}
    (project / ".venv").unlink()
    for line in ("git init -q", "git add seen.txt"):
        assert machine.command(*line.split(), **own, GIT_DIR=str(project / ".git")).code == 0

    job = jobs()["github"]
    done = run_job(job, project, machine, tmp_path / "state of the first run")
    assert done.code == 0, done.err
    assert "Successfully installed blinker-1.9.0 flask-3.1.3" in done.out

    subprocess.run(["/bin/rm", "-r", project / ".venv"], check=True)
    offer_flask(index, tmp_path / "evil", "evil")
    done = run_job(job, project, machine, tmp_path / "state of another machine")
    assert done.code == 3, done.out
    assert "flask-3.1.3-py3-none-any.whl is not the file that" in done.err
    assert "flask-3.1.3-py3-none-any.whl is not the file that …" in CI
    assert not list((project / ".venv").rglob("flask"))
    assert machine.pip_install(index.url, "flask").code == 0
    (module,) = (project / ".venv").rglob("flask/__init__.py")
    assert "evil" in module.read_text(), "plain pip installs it"


def test_the_jobs_for_all_kinds_of_ci_run_the_same_commands() -> None:
    github, gitlab, docker = (
        [re.sub(r" --no-cache-dir| +#.*", "", line).replace("/tools", "tools") for line in lines]
        for lines in jobs().values()
    )
    assert github == gitlab
    assert docker == [line for line in github if "git diff" not in line and "pytest" not in line]


def test_the_commands_for_operators_lead_to_a_repository_that_a_team_installs_from(
    machine: Machine, project: Path, tmp_path: Path, empty_environment: Path
) -> None:
    folder = tmp_path / "packages"
    (tmp_path / "member").mkdir()
    member = Machine(tmp_path / "member", empty_environment)
    make_wheel(project / "dist", "app", "1.0")
    shown = {"/srv/packages": str(folder)}
    ran = []
    address = ""
    with ExitStack() as stack:
        for words in commands(OPERATE):
            for text, real in shown.items():
                words = [word.replace(text, real) for word in words]
            ran.append(" ".join(words[:2]))
            if "…" in " ".join(words):
                root = sha256_of((folder / "metadata" / "1.root.json").read_bytes())
                words = [root if "…" in word else word for word in words]
            if words[:2] in (["trust", "add"], ["install", "flask"]):
                address = address or stack.enter_context(serve(folder))
                words = [word.replace("https://packages.example.org/", address) for word in words]
                done = (
                    member.install("--index-url", f"{address}simple", "flask")
                    if words[0] == "install"
                    else member.run(*words)
                )
            else:
                if words[1:3] == ["ceremony", "sign"]:  # a holder has read it, and agrees
                    words = [*words, "--yes"]
                files = [each for word in words for each in expand(word)]
                done = machine.run(*files)
            assert done.code == 0, (words, done.out, done.err)
        done = member.run("trust", "refresh")
        assert done.code == 0, done.err
        known = member.folder / "data" / "trust" / "team" / "metadata" / "root.json"
        assert b'"version":2' in known.read_bytes(), "clients follow by themselves"
    assert {"repo init", "repo sync", "repo add", "trust add", "install flask"} <= set(ran)
    assert member.version_of("flask") == "good"
    assert (folder / "metadata" / "2.root.json").exists(), "of the two people and the safe"


def test_the_commands_for_maintainers_make_a_claim_that_an_operator_accepts(
    machine: Machine,
    made: MadeRepository,
    tmp_path: Path,
    empty_environment: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "bob").mkdir()
    bob = Machine(tmp_path / "bob", empty_environment)
    monkeypatch.chdir(tmp_path)
    with serve(made.folder) as address:
        for maintainer in (machine, bob):
            maintainer.trust(made, address)
        assert bob.run("sign", "keygen", "--public", "bob.json").code == 0
        for words in commands((ROOT / "docs" / "publish.md").read_text()):
            done = (bob if "add-signature" in words else machine).run(*words)
            assert done.code == 0, (words, done.out, done.err)
        claim = commands((ROOT / "docs" / "guides" / "claims.md").read_text())
        words = [word.replace("/srv/packages", str(made.folder)) for word in next(claim)]
        done = machine.run(*words, "--keys", made.online_keys)
        assert done.code == 0, (words, done.out, done.err)


def expand(word: str) -> list[str]:
    """A word as a shell gives it to a command."""
    return sorted(map(str, Path().glob(word))) if "*" in word else [word]
