"""Where pip's errors take several lines that begin with `ERROR:`, so do ours."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.support.machine import Machine
from tests.support.repositories import MadeRepository, serve
from tests.support.wheels import make_sdist

PYPROJECT = """\
[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]
"""
BACKEND = """\
def get_requires_for_build_wheel(config_settings=None):
    raise SystemExit("no")

def build_wheel(folder, config_settings=None, metadata_folder=None):
    raise SystemExit("no")
"""


@pytest.mark.parametrize("requirement", ["app>9", "broken"])
def test_the_errors_begin_and_end_as_in_pip(
    machine: Machine, made: MadeRepository, tmp_path: Path, requirement: str
) -> None:
    files = {"backend.py": BACKEND}
    made.add(
        make_sdist(
            tmp_path, "broken", "1.0", files=files, metadata_version="2.1", pyproject=PYPROJECT
        )
    )
    machine.trust(made, str(made.folder))
    ours = machine.install(requirement)
    with serve(made.folder) as url:
        theirs = machine.pip_install(f"{url}simple/", requirement)
    assert ours.code == theirs.code == 1
    said = [re.findall(r"(?m)^ERROR: .*$", one.err)[-1:] for one in (ours, theirs)]
    assert said[0] == said[1] != []


@pytest.mark.parametrize(
    "words",
    [
        ("--find-links", "https://user:secret@packages.example.org/links", "app"),
        ("git+https://user:secret@packages.example.org/app",),
        ("https://user:secret@packages.example.org/app-1.0-py3-none-any.whl",),
        ("https://secret@packages.example.org/app-1.0-py3-none-any.whl",),
        ("app @ https://user:se@cret@packages.example.org/app-1.0.tar.gz",),
    ],
)
def test_no_password_of_an_address_is_printed_or_logged(
    machine: Machine, made: MadeRepository, tmp_path: Path, words: tuple[str, ...]
) -> None:
    machine.trust(made, str(made.folder))
    log = tmp_path / "log"
    done = machine.install(*words, "-v", "--log", str(log))
    assert done.code == 1
    assert "****@packages.example.org" in done.err
    for said in (done.out, done.err, log.read_text()):
        assert "cret" not in said
