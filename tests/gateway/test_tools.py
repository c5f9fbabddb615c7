"""Unmodified tools through a gateway: they install the signed files, or nothing.

Those that the registry must give first are in ``test_more_tools``.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import uv

from tests.support.hostile import HostileServer, flip_byte
from tests.support.machine import Finished, Machine

CHANGED = {
    "page": r"simple/lib/.*",
    "metadata": r"packages/lib/.*\.metadata",
    "wheel": r"packages/lib/.*\.whl",
    "bins": r"metadata/.*bin-.*",
    "timestamp": r"metadata/timestamp\.json",
}
UV = uv.find_uv_bin()
Tool = Callable[[Machine], Finished]


def inside(client: Machine, *words: str | Path, options: tuple[str, ...] = ()) -> Finished:
    """Run a command inside a gateway."""
    return client.process("gateway", *options, "--", *words, UV_PYTHON_DOWNLOADS="never")


def pip_install(client: Machine) -> Finished:
    import pip

    runner = Path(pip.__file__).with_name("__pip-runner__.py")
    return inside(client, client.python, runner, "install", "--no-compile", "app")


def uv_pip_install(client: Machine) -> Finished:
    return inside(client, UV, "pip", "install", "--python", client.python, "app")


def uv_project(client: Machine) -> Path:
    """A project that requires ``app``."""
    folder = client.folder / "project"
    folder.mkdir(exist_ok=True)
    (folder / "pyproject.toml").write_text(
        '[project]\nname = "project"\nversion = "1"\nrequires-python = ">=3.10"\n'
        'dependencies = ["app"]\n'
    )
    return folder


def uv_sync(client: Machine) -> Finished:
    folder = uv_project(client)
    words = (UV, "sync", "--project", folder, "--python", sys.executable)
    done = inside(client, *words)
    made = folder / ".venv"
    if made.exists():
        shutil.copytree(made / "lib", client.environment / "lib", dirs_exist_ok=True)
    return done


@pytest.mark.parametrize("tool", [pip_install, uv_pip_install, uv_sync])
def test_a_tool_installs_what_was_signed(client: Machine, tool: Tool) -> None:
    done = tool(client)
    assert done.code == 0, done.err
    assert (client.version_of("app"), client.version_of("lib")) == ("2.0", "1.0")


@pytest.mark.parametrize(
    ("tool", "changed"),
    [
        (pip_install, "page"),
        (pip_install, "metadata"),
        (pip_install, "wheel"),
        (pip_install, "timestamp"),
        (uv_pip_install, "page"),
        (uv_pip_install, "metadata"),
        (uv_pip_install, "wheel"),
        (uv_pip_install, "bins"),
        (uv_sync, "page"),
        (uv_sync, "wheel"),
    ],
)
def test_a_tool_fails_and_says_why_when_one_answer_was_changed(
    client: Machine, hostile: HostileServer, tool: Tool, changed: str
) -> None:
    """No older release is installed either: an attacker would want that."""
    hostile.alter(CHANGED[changed], flip_byte)
    done = tool(client)
    assert done.code != 0
    # Once from the gateway, and once from the tool, which breaks long lines.
    said = " ".join((done.out + done.err).replace("│", " ").split())
    assert said.count("is not what") >= 2, said
    assert client.version_of("lib") is None
    assert client.version_of("app") is None


def test_pip_says_that_a_project_is_unknown_and_the_gateway_says_why(client: Machine) -> None:
    import pip

    runner = Path(pip.__file__).with_name("__pip-runner__.py")
    done = inside(client, client.python, runner, "install", "nobody")
    assert done.code == 1
    assert "No matching distribution found for nobody" in done.err
    assert "no trusted repository knows the project nobody" in done.err


def test_a_lock_file_of_uv_is_honoured_by_another_gateway_later(
    client: Machine, hostile: HostileServer
) -> None:
    folder = uv_project(client)
    options = ("--stable-url", "--port", "0")
    done = inside(client, UV, "lock", "--project", folder, options=options)
    assert done.code == 0, done.err
    lock = (folder / "uv.lock").read_text()
    port = lock.partition("http://127.0.0.1:")[2].partition("/")[0]
    options = ("--stable-url", "--port", port)
    words = (UV, "sync", "--locked", "--project", folder, "--python", sys.executable)
    hostile.alter(r"packages/lib/.*\.whl", flip_byte)
    shutil.rmtree(client.folder / "home" / ".cache", ignore_errors=True)
    shutil.rmtree(client.folder / "cache", ignore_errors=True)
    refused = inside(client, *words, options=options)
    assert refused.code != 0
    assert "is not what was signed" in refused.err
    hostile.honest()
    done = inside(client, *words, options=options)
    assert done.code == 0, done.err
    (installed,) = (folder / ".venv" / "lib").glob("python*/site-packages/lib/__init__.py")
    assert "1.0" in installed.read_text()
