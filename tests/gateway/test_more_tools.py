"""poetry, pdm, pipx and tox install through a gateway, in the versions that the registry has."""

from __future__ import annotations

import subprocess
import sys
import venv
from collections.abc import Callable
from pathlib import Path

import pytest
from filelock import FileLock

from tests.support.hostile import HostileServer, flip_byte
from tests.support.machine import Finished, Machine
from tests.support.ports import free_port
from tests.support.repositories import MadeRepository, make_repository
from tests.support.wheels import make_wheel

VERSION = f"{sys.version_info.major}.{sys.version_info.minor}"
PROJECT = """\
[project]
name = "project"
version = "1"
requires-python = ">=3.10"
dependencies = []
"""
REQUIRED = {
    "poetry": ["poetry>=2"],
    # The newest pdm does not start with the newest versions of its requirements.
    "pdm": ["pdm==2.26.*", "unearth<0.18.1", "hishel<1.2"],
    # Without uv, pipx first fetches the newest pip, which this repository does not have.
    "pipx": ["pipx>=1.7", "uv"],
    "tox": ["tox>=4"],
}
Tool = Callable[[str], Path]


@pytest.fixture(scope="module")
def shared_repository(tmp_path_factory: pytest.TempPathFactory) -> MadeRepository:
    """The shared repository with a command in ``app``, which pipx requires."""
    folder = tmp_path_factory.mktemp("with-command")
    command = "[console_scripts]\napp = app:VERSION.strip\n"
    return make_repository(
        folder / "repository",
        make_wheel(folder, "app", "1.0", entry_points=command),
        make_wheel(folder, "app", "2.0", requires=["lib"], entry_points=command),
        make_wheel(folder, "lib", "1.0"),
    )


@pytest.fixture
def tool(request: pytest.FixtureRequest) -> Tool:
    """Returns the path of a tool, which is installed on its first use and kept."""

    def installed(name: str) -> Path:
        folder = request.config.cache.mkdir("tools") / f"{name}-{VERSION}"
        with FileLock(f"{folder}.lock"):
            if not (folder / "done").exists():
                venv.create(folder, with_pip=True, clear=True, symlinks=True)
                python = folder / "bin" / "python"
                words = [str(python), "-m", "pip", "install", "--quiet", *REQUIRED[name]]
                subprocess.run(words, check=True)
                (folder / "done").touch()
        return folder / "bin" / name

    return installed


def project(client: Machine, more: str = "") -> Path:
    folder = client.folder / "project"
    folder.mkdir()
    (folder / "pyproject.toml").write_text(PROJECT + more)
    return folder


def inside(client: Machine, *words: str | Path, port: int = 0) -> Finished:
    options = ["--stable-url", f"--port={port}"] if port else []
    return client.process(
        "gateway",
        *options,
        "--",
        *words,
        POETRY_VIRTUALENVS_IN_PROJECT="1",
        PYTHON_KEYRING_BACKEND="keyring.backends.null.Keyring",
        UV_PYTHON_DOWNLOADS="never",
        PIPX_HOME=str(client.folder / "pipx"),
    )


def poetry_add(client: Machine, tool: Tool) -> Finished:
    port = free_port()
    folder = project(
        client,
        "[tool.poetry]\npackage-mode = false\n"
        '[[tool.poetry.source]]\nname = "verified"\npriority = "primary"\n'
        f'url = "http://127.0.0.1:{port}/simple/"\n',
    )
    words = ("--no-interaction", f"--directory={folder}", "add", "app")
    return inside(client, tool("poetry"), *words, port=port)


def pdm_add(client: Machine, tool: Tool) -> Finished:
    folder = project(client, "[tool.pdm]\ndistribution = false\n")
    venv.create(folder / ".venv", symlinks=True)
    return inside(client, tool("pdm"), "add", "--project", folder, "app")


def pipx_install(client: Machine, tool: Tool) -> Finished:
    # It uses the uv of its own environment.
    return inside(client, tool("pipx"), "install", "app")


def tox_run(client: Machine, tool: Tool) -> Finished:
    folder = client.folder / "project"
    folder.mkdir()
    (folder / "tox.ini").write_text(
        "[tox]\nno_package = true\nenv_list = one\n"
        '[testenv]\ndeps = app\ncommands = python -c "import app, lib; print(app.VERSION)"\n'
    )
    return inside(client, tool("tox"), "--root", folder, "-c", folder)


def installed(client: Machine) -> set[str]:
    """The packages that a tool has installed, outside of the machine's environment."""
    return {
        path.parent.name
        for folder in ("project", "pipx")
        for path in (client.folder / folder).rglob("site-packages/*/__init__.py")
    } & {"app", "lib"}


PAGE, WHEEL = r"simple/lib/.*", r"packages/(app|lib)/.*\.whl"
TOOLS = [poetry_add, pdm_add, pipx_install, tox_run]


@pytest.mark.registry
@pytest.mark.parametrize("run", TOOLS)
def test_a_tool_installs_what_was_signed(
    client: Machine, tool: Tool, run: Callable[[Machine, Tool], Finished]
) -> None:
    done = run(client, tool)
    assert done.code == 0, done.out + done.err
    assert installed(client) == {"app", "lib"}


@pytest.mark.registry
@pytest.mark.parametrize(
    ("run", "changed"),
    [
        (poetry_add, WHEEL),
        (pdm_add, PAGE),
        (pdm_add, WHEEL),
        # These fetch by uv or pip, with which ``test_tools`` tries all answers. Poetry asks for a
        # failed answer again for ten seconds: one answer is enough for it.
        (pipx_install, PAGE),
        (tox_run, WHEEL),
    ],
)
def test_a_tool_fails_and_says_why_when_one_answer_was_changed(
    client: Machine,
    hostile: HostileServer,
    tool: Tool,
    run: Callable[[Machine, Tool], Finished],
    changed: str,
) -> None:
    hostile.alter(changed, flip_byte)
    done = run(client, tool)
    assert done.code != 0
    assert "is not what was signed" in done.out + done.err
    assert installed(client) == set()
