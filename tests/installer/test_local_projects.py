"""Projects that the user names by path: they are installed as by plain pip, and uninstalled."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.installer.conftest import Tree, snapshot
from tests.support.machine import Machine
from tests.support.wheels import make_sdist, make_wheel, metadata_text

_PYPROJECT = """
[build-system]
requires = []
build-backend = "b"
backend-path = ["."]
"""
_BACKEND = """
import os, zipfile
WHEEL = "one-1.0-py3-none-any.whl"
def log(text):
    with open("log.txt", "a") as file:
        print(text, file=file)
def write(folder, module):
    with zipfile.ZipFile(os.path.join(folder, WHEEL), "w") as wheel:
        wheel.writestr("one.py", module)
        info = "one-1.0.dist-info/"
        wheel.writestr(info + "METADATA", "Metadata-Version: 2.1\\nName: one\\nVersion: 1.0\\n")
        wheel.writestr(info + "WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\n"
                       "Tag: py3-none-any\\n")
        wheel.writestr(info + "RECORD", "one.py,,\\n" + info + "RECORD,,\\n")
    return WHEEL
def build_wheel(folder, config_settings=None, metadata_directory=None):
    log(f"build_wheel {config_settings}")
    return write(folder, f"SETTINGS = {config_settings}\\n")
def build_editable(folder, config_settings=None, metadata_directory=None):
    log(f"build_editable {config_settings}")
    return write(folder, "EDITABLE = True\\n")
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """The folder of ``one`` 1.0, which contains its build backend."""
    folder = tmp_path / "a project"
    folder.mkdir()
    (folder / "pyproject.toml").write_text(_PYPROJECT)
    (folder / "b.py").write_text(_BACKEND)
    return folder


@pytest.fixture
def words(request: pytest.FixtureRequest, project: Path, tmp_path: Path) -> list[str | Path]:
    """The arguments that the user types for ``one`` 1.0."""
    built = tmp_path / "built"
    wheel = make_wheel(built, "one", "1.0")
    sdist = make_sdist(built, "one", "1.0", files={"b.py": _BACKEND}, pyproject=_PYPROJECT)
    kinds: dict[str, list[str | Path]] = {
        "wheel": [wheel],
        "sdist": [sdist],
        "named": [f"one @ {sdist.as_uri()}"],
        "folder": [project],
        "editable": ["-e", project],
        "links": ["--find-links", built, "one"],
    }
    return kinds[request.param]


def _left(machine: Machine) -> Tree:
    """All files. Empty folders are not compared."""
    found = snapshot(machine.environment)
    return {path: state for path, state in found.items() if isinstance(state, tuple)}


def _temporary(machine: Machine) -> Path:
    folder = machine.folder / "temporary"
    folder.mkdir(exist_ok=True)
    machine.variables["TMPDIR"] = os.fspath(folder)
    return folder


_KINDS = ["wheel", "sdist", "named", "folder", "editable", "links"]


@pytest.mark.parametrize("words", _KINDS, indirect=True)
def test_what_is_installed_is_what_pip_installs(
    machine: Machine, words: Sequence[str | Path]
) -> None:
    temporary = _temporary(machine)
    empty = _left(machine)
    options = ("--no-index", "--no-build-isolation")
    done = machine.process("--python", machine.environment, "install", *options, *words)
    assert done.code == 0, done.err
    assert done.err == ""
    ours, frozen = _left(machine), machine.freeze()
    assert not list(temporary.iterdir())
    assert machine.pip("uninstall", "-y", "one").code == 0
    assert _left(machine) == empty
    assert machine.pip("install", *options, *words).code == 0
    assert ours == _left(machine)
    assert frozen == machine.freeze()


def test_the_environment_may_be_named_from_here(machine: Machine, project: Path) -> None:
    relative = os.path.relpath(machine.environment)
    options = ("--no-index", "--no-build-isolation")
    done = machine.process("install", "--python", relative, *options, project)
    assert done.code == 0, done.err


def test_a_folder_that_is_named_from_here_is_recorded_with_its_whole_path(
    machine: Machine, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(project.parent)
    project.rename(project.with_name("x"))
    options = ("--no-index", "--no-build-isolation")
    said = []
    for tool in (machine.pip, machine.run):
        words = ("install", *options, "-e", "file:x#egg=one")
        python = ("--python", machine.environment) if tool == machine.run else ()
        assert tool(*words, *python).code == 0
        said.append((machine.site_packages / "one-1.0.dist-info" / "direct_url.json").read_text())
        machine.remove("one")
    assert said[0] == said[1]
    assert project.with_name("x").as_uri() in said[1]


def test_a_folder_is_installed_anew_each_time(machine: Machine, project: Path) -> None:
    assert machine.process("install", "--python", machine.environment, project).code == 0
    (project / "b.py").write_text(_BACKEND.replace('"EDITABLE', '"CHANGED'))
    done = machine.process("install", "--python", machine.environment, "-C", "x=y", project)
    assert done.code == 0, done.err
    assert "Found existing installation: one 1.0" in done.out
    assert (machine.site_packages / "one.py").read_text() == "SETTINGS = {'x': 'y'}\n"
    assert (project / "log.txt").read_text() == "build_wheel None\nbuild_wheel {'x': 'y'}\n"


def test_what_only_dependencies_ask_for_is_not_requested(
    machine: Machine, project: Path, tmp_path: Path
) -> None:
    metadata = metadata_text("two", "1.0", [f"one @ {project.as_uri()}"])
    wheel = make_wheel(tmp_path / "built", "two", "1.0", metadata=metadata)
    done = machine.process("install", "--no-index", "--python", machine.environment, wheel)
    assert done.code == 0, done.err
    requested = [path.parent.name for path in machine.site_packages.glob("*/REQUESTED")]
    assert requested == ["two-1.0.dist-info"]
    record = (machine.site_packages / "one-1.0.dist-info" / "RECORD").read_text()
    assert "REQUESTED" not in record


@pytest.mark.parametrize(
    ("files", "said"),
    [
        (
            {"b.py": "def prepare_metadata_for_build_wheel(*_): raise SystemExit('no')"},
            "metadata-generation-failed",
        ),
        ({"b.py": "import nowhere"}, "Cannot import build backend 'b'."),
        ({"pyproject.toml": "[build-system]\n"}, "missing the mandatory `requires` key"),
        ({"pyproject.toml": "[build-system]\nrequires = [1]\n"}, "not a list of strings"),
        (
            {"pyproject.toml": _PYPROJECT.replace("[]", '["x @ https://packages.example.org/x"]')},
            "names a direct URL",
        ),
        (
            {"b.py": _BACKEND.replace("log(f", "raise SystemExit('no wheel today') or log(f")},
            "no wheel today",
        ),
    ],
)
def test_a_build_that_fails_says_why_and_leaves_nothing(
    machine: Machine, project: Path, files: dict[str, str], said: str
) -> None:
    temporary = _temporary(machine)
    empty = _left(machine)
    for name, text in files.items():
        (project / name).write_text(text)
    done = machine.process("install", "--no-index", "--python", machine.environment, project)
    assert done.code == 1
    assert said in done.err
    assert not list(temporary.iterdir())
    assert _left(machine) == empty


_CHATTY = (
    "def prepare_metadata_for_build_wheel(*_):\n    print('SAID')\n    raise SystemExit('no')\n"
)


@pytest.mark.parametrize("option", ["--no-input", "-v", "--log=/dev/null"])
def test_what_a_failed_build_prints_is_shown_once_and_not_on_standard_output(
    machine: Machine, project: Path, option: str
) -> None:
    (project / "b.py").write_text(_CHATTY)
    words = ("install", "--no-index", "--python", machine.environment, option)
    done = machine.process(*words, project)
    assert done.code == 1
    assert done.err.count("SAID") == 1
    assert "SAID" not in done.out


def test_hooks_see_variables_of_their_own_but_no_setting_of_pips(
    machine: Machine, project: Path
) -> None:
    seen = "sorted(n for n in os.environ if n.startswith('PIP_'))"
    (project / "b.py").write_text(_BACKEND.replace("    log(", f"    log({seen})\n    log("))
    variables = {"PIP_OF_MY_BUILD": "1", "PIP_FIND_LINKS": "x", "PIP_extra_index_url": "y"}
    machine.variables.update(variables)
    done = machine.process("install", "--no-index", "--python", machine.environment, project)
    assert done.code == 0, done.err
    ours = ["PIP_CONFIG_FILE", "PIP_NO_INDEX", "PIP_OF_MY_BUILD", "PIP_PROXY", "PIP_RETRIES"]
    assert (project / "log.txt").read_text().startswith(f"{ours}\n")


def test_a_build_that_works_prints_only_when_asked(machine: Machine, project: Path) -> None:
    (project / "b.py").write_text(_BACKEND.replace("    log(", "    print('SAID')\n    log("))
    words = ("install", "--no-index", "--python", machine.environment)
    quiet = machine.process(*words, project)
    assert "SAID" not in quiet.out + quiet.err
    told = machine.process(*words, "-v", project)
    assert (told.out.count("SAID"), told.err.count("SAID")) == (0, 1)


@pytest.mark.parametrize("works", [True, False])
def test_build_folders_are_kept_when_asked_and_named(
    machine: Machine, tmp_path: Path, works: bool
) -> None:
    temporary = _temporary(machine)
    backend = _BACKEND if works else _CHATTY
    sdist = make_sdist(tmp_path, "one", "1.0", files={"b.py": backend}, pyproject=_PYPROJECT)
    words = ("install", "--no-index", "--python", machine.environment, "--no-clean", sdist)
    done = machine.process(*words)
    assert done.code == (0 if works else 1)
    (kept,) = temporary.iterdir()
    assert f"Build folders are kept in {kept}" in done.out
    assert list(kept.rglob("b.py"))


def test_a_build_that_needs_itself_over_another_is_refused(
    machine: Machine, tmp_path: Path
) -> None:
    for name, other in (("big-hen", "egg"), ("egg", "big-hen")):
        pyproject = _PYPROJECT.replace("[]", f'["{other}"]')
        make_sdist(tmp_path / "links", name, "1.0", pyproject=pyproject)
    links = ("--no-index", "--find-links", tmp_path / "links")
    done = machine.process("install", "--python", machine.environment, *links, "big-hen")
    assert done.code == 1
    url = (tmp_path / "links" / "big_hen-1.0.tar.gz").as_uri()
    assert f"{url} is already being built: big_hen from {url}" in done.err
    assert "big_hen-1.0.tar.gz → egg-1.0.tar.gz → big_hen-1.0.tar.gz" in done.err


def test_what_was_built_before_of_the_same_ingredients_runs_nothing(
    machine: Machine, tmp_path: Path
) -> None:
    links, log = tmp_path / "links", tmp_path / "ran"
    backend = _BACKEND.replace(
        "def write(",
        "import helper\ndef get_requires_for_build_wheel(*_): return ['more']\ndef write(",
    ).replace('"log.txt"', repr(os.fspath(log)))
    pyproject = _PYPROJECT.replace("[]", '["helper"]')
    make_sdist(links, "one", "1.0", files={"b.py": backend}, pyproject=pyproject)
    make_wheel(links, "helper", "1")
    make_wheel(links, "more", "1")
    words = ("install", "--no-index", "--find-links", links, "--python", machine.environment)

    def runs() -> int:
        done = machine.process(*words, "--force-reinstall", "one")
        assert done.code == 0, done.err
        assert ("Using cached one-1.0-py3-none-any.whl" in done.out) == (not log.exists())
        count = len(log.read_text().splitlines()) if log.exists() else 0
        log.unlink(missing_ok=True)
        return count

    assert runs() > 0
    assert runs() == 0
    make_wheel(links, "more", "2")
    assert runs() > 0
    for wheel in (machine.folder / "cache").rglob("one-1.0-*.whl"):
        wheel.write_bytes(b"damaged")
    assert runs() > 0


def test_an_editable_install_needs_the_hook_for_it(machine: Machine, project: Path) -> None:
    (project / "b.py").write_text(_BACKEND.replace("def build_editable", "def something"))
    done = machine.process("install", "--no-index", "--python", machine.environment, "-e", project)
    assert done.code == 1
    assert "missing the 'build_editable' hook" in done.err


def test_without_isolation_what_is_missing_is_named_when_asked(
    machine: Machine, project: Path
) -> None:
    (project / "pyproject.toml").write_text(_PYPROJECT.replace("[]", '["helper>=2"]'))
    words = ("install", "--no-index", "--no-build-isolation", "--python", machine.environment)
    done = machine.process(*words, "--check-build-dependencies", project)
    assert done.code == 1
    assert f"dependencies for {project.as_uri()} are missing: 'helper>=2'." in done.err
    assert machine.process(*words, project).code == 0


def test_a_user_install_that_the_environment_would_not_see_builds_nothing(
    machine: Machine, project: Path
) -> None:
    done = machine.process("install", "--user", "--python", machine.environment, project)
    assert done.code == 1
    assert "User site-packages are not visible in this virtualenv." in done.err
    assert not (project / "log.txt").exists()
