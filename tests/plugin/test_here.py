"""The interpreters that `trust list` asks whether their pip verifies."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from packaging.version import Version

from securepip.errors import UsageError
from securepip.plugin.environment import Environment
from securepip.plugin.here import environments_here


def python(path: Path, target: Path | None = None, *, virtual: bool = False) -> Path:
    """Make an interpreter, or a link to one, which no test starts."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if target is None:
        path.touch(0o700)
    else:
        path.symlink_to(target)
    if virtual:
        (path.parent.parent / "pyvenv.cfg").touch()
    return path


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The interpreters that are asked. The tests do not look at their answers."""
    started: list[Path] = []

    def find(named: str) -> Environment:
        started.append(Path(named))
        if "broken" in named:
            raise UsageError("it does not start")
        return Environment(Path(named), Path(named).parent, Version("25.1"))

    monkeypatch.setattr("securepip.plugin.here.find_environment", find)
    return started


def test_each_interpreter_of_the_path_is_asked_once_and_nothing_else_is_started(
    tmp_path: Path, asked: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    system = python(tmp_path / "system" / "python")
    python(tmp_path / "system" / "python3.11", system)
    python(tmp_path / "system" / "python3-config")
    python(tmp_path / "system" / "python3").chmod(0o600)
    python(tmp_path / "deeper" / "again" / "python3", system)
    python(tmp_path / "relative" / "python")
    broken = python(tmp_path / "broken" / "python")
    virtual = python(tmp_path / "virtual" / "bin" / "python", system, virtual=True)
    active = python(tmp_path / "active" / "bin" / "python", system, virtual=True)
    (tmp_path / "file").touch()
    folders = ["deeper/again", "broken", "virtual/bin", "file", "missing"]
    paths = [str(tmp_path / "system"), "relative", *(str(tmp_path / each) for each in folders)]
    variables = {
        "PATH": os.pathsep.join(paths),
        "VIRTUAL_ENV": str(tmp_path / "active"),
    }
    found = environments_here([], variables)
    assert asked == [active, system, broken, virtual]
    assert [one.python for one in found] == [active, system, virtual]


def test_what_is_named_comes_first_and_has_to_be_an_interpreter(
    tmp_path: Path, asked: list[Path]
) -> None:
    first, second = (python(tmp_path / name / "python") for name in ("first", "second"))
    variables = {"PATH": os.pathsep.join(str(each.parent) for each in (first, second))}
    found = environments_here([str(second)], variables)
    assert [one.python for one in found] == [second, first]
    with pytest.raises(UsageError):
        environments_here([str(tmp_path / "broken")], variables)


def test_an_environment_without_a_pip_is_not_listed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = Environment(tmp_path / "python", tmp_path, None)
    monkeypatch.setattr("securepip.plugin.here.find_environment", lambda named: there)
    assert environments_here([str(there.python)], {"PATH": ""}) == []
