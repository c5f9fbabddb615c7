"""The commands and the refusal in README and in the guide to first use."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from securepip.formats.digests import sha256_of
from tests.support.documents import ROOT, blocks, commands
from tests.support.indexes import Index, offer_flask, serve_flask, serve_index
from tests.support.machine import Machine
from tests.support.repositories import serve

FLASK = "flask-3.1.3-py3-none-any.whl"
NOT_RUN_HERE = {"plugin enable", "gateway --", "repo serve"}
"""Tested elsewhere: they need a pip of their own, or do not end."""


@pytest.fixture
def flask(tmp_path: Path) -> Iterator[Index]:
    """An index with flask 3.1.3 and blinker, which it requires."""
    with serve_flask(tmp_path / "published") as index:
        yield index


@pytest.fixture
def newcomer(
    machine: Machine, flask: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Machine:
    """A machine whose pip uses the index, in a folder with a requirements file."""
    machine.variables |= {"PIP_INDEX_URL": flask.url, "PIP_PYTHON": str(machine.environment)}
    (tmp_path / "requirements.txt").write_text("flask\n")
    monkeypatch.chdir(tmp_path)
    return machine


def without_what_varies(text: str) -> str:
    """The text without digests, dates and the index's URL."""
    for pattern in (r"[0-9a-f]{64}", r"\d{4}-\d\d-\d\d", r"https?://\S+"):
        text = re.sub(pattern, "…", text)
    return text.strip()


def test_the_first_screen_is_true(newcomer: Machine, flask: Index, tmp_path: Path) -> None:
    screen = (ROOT / "README.md").read_text().partition("**What it does not do.**")[0]
    first, *_ = commands(screen)
    assert first[:2] == ["trust", "first-use"]
    for words in commands(screen):
        done = newcomer.run(*words)
        assert done.code == 0, (words, done.err)
    assert newcomer.freeze() == ["blinker==1.9.0", "flask==3.1.3"]

    newcomer.remove("flask")
    offer_flask(flask, tmp_path / "evil", "evil")
    done = newcomer.run("install", "flask")
    assert done.code == 3
    shown = blocks(screen)[-1].text.partition("ERROR: ")[2]
    assert without_what_varies(done.err) == without_what_varies(f"ERROR: {shown}")


def test_every_command_of_the_document_works(
    newcomer: Machine, flask: Index, tmp_path: Path, empty_environment: Path
) -> None:
    (tmp_path / "member").mkdir()
    member = Machine(tmp_path / "member", empty_environment)
    data = newcomer.folder / "data"
    folder = data / "first-use" / "127.0.0.1"
    not_run = set()
    assert newcomer.run("trust", "first-use").code == 0, "so that there is something to serve"
    with serve_index() as other, serve_index() as mirror, serve(folder) as team:
        mirror.projects = {name: dict(files) for name, files in flask.projects.items()}
        here = {
            "https://mirror.example.org/simple": mirror.url,
            "https://pip.example.org/simple": other.url,
            "https://packages.example.org/simple": flask.url,
            "https://packages.example.org/": team,
            "packages.example.org": "127.0.0.1",
            "~/.local/share/securepip": str(data),
        }
        for words in commands((ROOT / "docs" / "guides" / "first-use.md").read_text()):
            if " ".join(words[:2]) in NOT_RUN_HERE:
                not_run.add(" ".join(words[:2]))
                continue
            for shown, real in here.items():
                words = [word.replace(shown, real) for word in words]
            whose = newcomer
            if words[:2] == ["trust", "accept-change"]:
                offer_flask(flask, tmp_path / "changed", "changed")
                refused = newcomer.run("install", "--force-reinstall", "flask")
                assert refused.code == 3, refused.out
                assert f"securepip {shlex.join(words)}" in refused.err
            if words[:2] == ["trust", "add"]:
                whose = member
                root = sha256_of((folder / "metadata" / "1.root.json").read_bytes())
                words = [root if "…" in word else word for word in words]
                assert root in newcomer.run("trust", "show", "127.0.0.1").out
            if words[0] == "install":
                whose.remove("flask", "blinker")
            done = whose.run(*words)
            assert done.code == 0, (words, done.err)
        assert not_run == NOT_RUN_HERE
        done = member.install("--index-url", flask.url, "flask")
        assert done.code == 0, done.err
        assert member.version_of("flask") == "changed"
    assert FLASK in (tmp_path / "seen.txt").read_text()
