"""Files that were written for pip work with `securepip`: images, tox, compiled requirements."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pip
import pytest

from tests.support.machine import Machine
from tests.support.repositories import MadeRepository, serve
from tests.support.wheels import make_wheel

SOURCES = Path(__file__).parents[2] / "src"
DOCKERFILE = """\
FROM python:3.12
COPY requirements.txt .
RUN pip install --no-cache-dir -r requirements.txt
"""
TOX = """\
[tox]
no_package = true
[testenv]
deps =
    app<2
    -r more.txt
install_command = pip install --python {env_python} {opts} {packages}
allowlist_externals = pip
pass_env = *
commands = python -c "import app, lib; print('tox has', app.VERSION, lib.VERSION)"
"""


def substituted(text: str) -> str:
    return text.replace("pip", "securepip")


def run(machine: Machine, command: list[str], **variables: str) -> str:
    """Run a tool in the machine's folder; what it says. It has to succeed."""
    done = subprocess.run(
        command,
        cwd=machine.folder,
        env={**machine.variables, **variables},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def put_securepip_into(environment: Path) -> str:
    """Make `securepip` a command of an environment; the PATH on which it comes first."""
    (site_packages,) = (environment / "lib").glob("python*/site-packages")
    here = Path(pip.__file__).parents[1]
    (site_packages / "securepip-is-here.pth").write_text(f"{SOURCES}\n{here}\n")
    (site_packages / "pip").symlink_to(here / "pip")
    script = environment / "bin" / "securepip"
    script.write_text(f'#!/bin/sh\nexec {environment}/bin/python -m securepip "$@"\n')
    script.chmod(0o755)
    return f"{script.parent}{os.pathsep}{os.environ['PATH']}"


def test_the_line_of_a_dockerfile(machine: Machine, made: MadeRepository) -> None:
    """Run by a shell in an environment of its own, as it would be in the image."""
    machine.trust(made, str(made.folder))
    path = put_securepip_into(machine.environment)
    (machine.folder / "constraints.txt").write_text("app<2\n")
    (machine.folder / "requirements.txt").write_text("app >=1  # ours\n-c constraints.txt\nother\n")
    (line,) = (
        line.removeprefix("RUN ")
        for line in substituted(DOCKERFILE).splitlines()
        if line.startswith("RUN ")
    )
    said = run(machine, ["sh", "-c", line], PATH=path)
    assert "Successfully installed app-1.0 other-1.0" in said
    assert machine.version_of("app") == "1.0"


def test_a_run_of_tox(machine: Machine, made: MadeRepository) -> None:
    machine.trust(made, str(made.folder))
    path = put_securepip_into(machine.environment)
    (machine.folder / "more.txt").write_text("lib\n")
    (machine.folder / "tox.ini").write_text(substituted(TOX))
    said = run(machine, [sys.executable, "-m", "tox", "-e", "py"], PATH=path)
    assert "tox has 1.0 1.0" in said


@pytest.fixture
def compiled(machine: Machine, made: MadeRepository) -> Path:
    """A requirements file with hashes, made by pip-tools without securepip."""
    (machine.folder / "requirements.in").write_text("app\n")
    with serve(made.folder) as url:
        words = ["--generate-hashes", "--no-emit-index-url", "--index-url", f"{url}simple/"]
        compile_ = [sys.executable, "-m", "piptools", "compile", *words, "requirements.in"]
        run(machine, compile_, PIP_TOOLS_CACHE_DIR=str(machine.folder / "pip-tools"))
    return machine.folder / "requirements.txt"


def test_a_compiled_requirements_file_with_hashes(
    machine: Machine, made: MadeRepository, compiled: Path
) -> None:
    machine.trust(made, str(made.folder))
    assert "--hash=sha256:" in compiled.read_text()
    done = machine.install("-r", compiled)
    assert done.code == 0, done.err
    assert (machine.version_of("app"), machine.version_of("lib")) == ("2.0", "1.0")


def test_a_compiled_file_holds_against_what_was_signed_later(
    machine: Machine, made: MadeRepository, compiled: Path, tmp_path: Path
) -> None:
    """Its hashes count beside the signatures: a file of the same version that was not there."""
    made.add(make_wheel(tmp_path, "lib", "1.0", tag="py3-none-manylinux_2_17_x86_64"))
    machine.trust(made, str(made.folder))
    assert machine.install("-r", compiled).code == 0
    text = compiled.read_text()
    compiled.write_text(text.replace("--hash=sha256:", "--hash=sha256:0000")[: len(text)])
    assert machine.install("-r", compiled, "--force-reinstall").code != 0
