"""Errors have several lines with `ERROR:` in the same places as pip's."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from securepip.formats.digests import sha256_of
from tests.support.hostile import serve_hostile
from tests.support.machine import Machine
from tests.support.repositories import MadeRepository, serve
from tests.support.wheels import make_sdist, make_wheel

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


def test_no_password_of_an_address_is_recorded(
    machine: Machine, made: MadeRepository, tmp_path: Path
) -> None:
    machine.trust(made, str(made.folder))
    wheel = make_wheel(tmp_path, "direct", "1.0")
    digest = sha256_of(wheel.read_bytes())
    with serve_hostile(tmp_path) as server:
        url = server.url.replace("://", "://user:secret@")
        report = tmp_path / "report.json"
        done = machine.install(f"{url}{wheel.name}#sha256={digest}", "--report", str(report))
    assert done.code == 0, done.err
    recorded = next(machine.site_packages.glob("direct-1.0.dist-info/direct_url.json"))
    for said in (recorded.read_text(), report.read_text()):
        assert server.url in said
        assert "secret" not in said
