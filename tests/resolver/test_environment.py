"""What a target is, asked of real interpreters, with pip's own answers as the measure."""

from __future__ import annotations

import importlib.metadata
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from securepip.errors import ResolutionError, UsageError
from securepip.interpreter.find import find_interpreter
from securepip.resolver import probe
from securepip.resolver.environment import target
from securepip.resolver.environment.target import InstalledDistribution
from tests.support.wheels import metadata_text


def _interpreters() -> list[str]:
    """The running Python, and of each other implementation and version one, from 3.10 on."""
    beside = sorted(Path(sys.base_prefix).parent.glob("*/bin/python"))
    named = [shutil.which(name) for name in (*(f"python3.{n}" for n in range(10, 16)), "pypy3")]
    ask = "import sys; v = sys.version_info; print(v >= (3, 10), sys.implementation.name, v[:2])"
    found: dict[bytes, str] = {}
    for path in (sys.executable, *map(str, beside), *filter(None, named)):
        answer = subprocess.run([path, "-c", ask], capture_output=True).stdout
        if answer.startswith(b"True"):
            found.setdefault(answer, path)
    return list(found.values())


@pytest.fixture
def environment(empty_environment: Path, tmp_path: Path) -> Path:
    """A virtual environment with nothing in it, to be changed."""
    folder = tmp_path / "target"
    shutil.copytree(empty_environment, folder, symlinks=True)
    return folder


@pytest.mark.parametrize("interpreter", _interpreters())
def test_tags_are_those_that_pip_computes_there(interpreter: str) -> None:
    import pip

    # Our own pip is run by that interpreter where it can be, as `pip --python` does it.
    runner = Path(pip.__file__).parent / "__pip-runner__.py"
    said = subprocess.run(
        [interpreter, runner, "--isolated", "debug", "--verbose"], capture_output=True, text=True
    )
    assert said.returncode == 0, said.stderr
    listed = re.findall(r"^  (\w+-\w+-\w+)$", said.stdout, re.MULTILINE)
    count = re.search(r"Compatible tags: (\d+)", said.stdout)
    assert count and len(listed) == int(count[1])
    assert [str(tag) for tag in probe(interpreter).tags] == listed


def test_the_running_environment_is_probed_without_a_subprocess(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = probe(sys.executable)
    monkeypatch.setattr(subprocess, "run", None)
    here = probe()
    assert (here.tags, here.version, here.markers) == (asked.tags, asked.version, asked.markers)
    assert (here.purelib, here.platlib) == (asked.purelib, asked.platlib)
    assert "packaging" in here.installed


def test_a_virtual_environment_without_pip_is_a_target(environment: Path) -> None:
    target = probe(str(environment))
    assert target.purelib.is_relative_to(environment)
    assert dict(target.installed) == {}
    assert find_interpreter(str(environment)) == str(target.python)


def test_variables_and_the_current_folder_do_not_confuse_it(
    environment: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clean = probe(str(environment))
    (tmp_path / "json.py").write_text("raise SystemExit('the current folder was imported')")
    (tmp_path / "stray-1.0.dist-info").mkdir()
    (tmp_path / "stray-1.0.dist-info" / "METADATA").write_text(metadata_text("stray", "1.0"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("PYTHONHOME", str(tmp_path))
    monkeypatch.setenv("PYTHONSTARTUP", str(tmp_path / "json.py"))
    assert probe(str(environment)) == clean
    assert "stray" not in probe(str(environment)).installed


def test_the_users_own_site_counts_where_the_target_uses_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONUSERBASE", str(tmp_path))
    base = getattr(sys, "_base_executable", sys.executable)
    ask = "import site; print(site.getusersitepackages())"
    folder = subprocess.run([base, "-c", ask], capture_output=True, text=True, check=True)
    site = Path(folder.stdout.strip())
    (site / "mine-1.0.dist-info").mkdir(parents=True)
    (site / "mine-1.0.dist-info" / "METADATA").write_text(metadata_text("mine", "1.0"))
    assert "mine" in probe(base).installed
    monkeypatch.setenv("PYTHONNOUSERSITE", "1")
    assert "mine" not in probe(base).installed


def test_what_is_installed_is_read_when_asked_and_broken_things_are_passed_over(
    environment: Path, caplog: pytest.LogCaptureFixture
) -> None:
    site = probe(str(environment)).purelib
    good = site / "good_one-1.2.dist-info"
    good.mkdir()
    (good / "METADATA").write_text(
        metadata_text("Good.One", "1.2", ["base; extra == 'x'"], extras=["X"])
    )
    (good / "INSTALLER").write_text("pip\n")
    (good / "direct_url.json").write_text(
        json.dumps({"url": "file:///src", "dir_info": {"editable": True}})
    )
    (site / "old-1.0-py3.egg-info").mkdir()
    (site / "old-1.0-py3.egg-info" / "PKG-INFO").write_text(metadata_text("old", "1.0"))
    (site / "-1.0.dist-info").mkdir()
    (site / "broken-1.0.dist-info").mkdir()
    installed = probe(str(environment)).installed
    found = installed[next(name for name in installed if name == "good-one")]
    assert str(found.version) == "1.2"
    assert [str(one) for one in found.requires_dist] == ['base; extra == "x"']
    assert found.extras == {"x"}
    assert found.editable
    assert found.installer == "pip"
    assert found.location == str(site)
    old = installed[next(name for name in installed if name == "old")]
    assert (str(old.version), old.editable, old.installer) == ("1.0", False, "")
    broken = installed[next(name for name in installed if name == "broken")]
    assert (broken.requires_dist, broken.extras) == ((), frozenset())


def test_what_is_no_interpreter_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="Could not locate Python interpreter"):
        probe(str(tmp_path / "nowhere"))
    with pytest.raises(UsageError, match="Could not locate Python interpreter"):
        probe(str(tmp_path))
    text = tmp_path / "python"
    for script, why in (
        ("echo not python\nexit 3", "it ended with exit code 3"),
        ("echo not python", "it does not say which Python it is"),
    ):
        text.write_text(f"#!/bin/sh\n{script}\n")
        text.chmod(0o755)
        with pytest.raises(UsageError) as raised:
            probe(str(text))
        assert raised.value.what == f"{text} does not run as a Python interpreter: {why}"


def test_what_runs_there_runs_on_the_oldest_python_that_is_installed_for() -> None:
    for project in ("packaging", "pip"):
        wanted = importlib.metadata.metadata(project)["Requires-Python"]
        oldest = ".".join(map(str, target._OLDEST_PYTHON))
        assert SpecifierSet(wanted).contains(oldest), f"{project} wants {wanted}"


def test_a_python_that_is_too_old_is_named(tmp_path: Path) -> None:
    # Stands in for an old interpreter: it answers as one does, to the same command line.
    old = tmp_path / "python"
    old.write_text("#!/bin/sh\necho '{\"version\": [3, 6, 15]}'\n")
    old.chmod(0o755)
    with pytest.raises(UsageError, match=r"is Python 3\.6\.15"):
        probe(str(old))


def test_what_a_finder_has_in_no_folder_is_installed_too(environment: Path) -> None:
    (site,) = (environment / "lib").glob("python*/site-packages")
    finder = site / "sitecustomize.py"
    finder.write_text(
        f"METADATA = {metadata_text('Frozen', '1.0', ['base'])!r}\n"
        "import sys\n"
        "from importlib.metadata import Distribution, DistributionFinder\n"
        "class Frozen(Distribution):\n"
        "    def locate_file(self, path): return path\n"
        "    def read_text(self, name):\n"
        "        return METADATA if name == 'METADATA' else None\n"
        "class Finder(DistributionFinder):\n"
        "    def find_distributions(self, context=None): return [Frozen()]\n"
        "sys.meta_path.append(Finder())\n"
    )
    try:
        frozen = probe(str(environment)).installed[canonicalize_name("Frozen")]
    finally:
        finder.unlink()
    assert (str(frozen.version), frozen.location) == ("1.0", "<memory>")
    assert [str(one) for one in frozen.requires_dist] == ["base"]
    assert not frozen.editable


@pytest.mark.parametrize("mark", ["pipx_metadata.json", "uv-receipt.toml"])
def test_the_active_environment_is_meant_where_securepip_has_one_of_its_own(
    environment: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mark: str
) -> None:
    monkeypatch.setenv("VIRTUAL_ENV", str(environment))
    assert probe().python == Path(sys.executable), "as with pip"
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    (tmp_path / mark).touch()
    assert probe().python == environment / "bin" / "python"
    for no_other in ("", str(tmp_path)):
        monkeypatch.setenv("VIRTUAL_ENV", no_other)
        with pytest.raises(UsageError, match="of its own") as caught:
            probe()
        assert "--python .venv" in str(caught.value.remedy)


_NAMED = "Metadata-Version: 2.1\nName: odd\nVersion: 1.0\n"


@pytest.mark.parametrize(
    ("place", "files"),
    [
        ("odd-1.0.dist-info", {"METADATA": f"{_NAMED}Requires-Dist: base\n\nRequires-Dist: no\n"}),
        ("odd-1.0.dist-info", {"METADATA": f"{_NAMED}requires-dist: a ;python_version>'3'"}),
        ("odd-1.0.dist-info", {"METADATA": f"{_NAMED}Summary: a\nNo field\nRequires-Dist: no"}),
        ("odd-1.0.dist-info", {"METADATA": f"{_NAMED}License:\n Requires-Dist: y\nVersion: 2"}),
        ("odd-1.0.dist-info", {"METADATA": f"\n{_NAMED}"}),
        ("odd-1.0.dist-info", {"METADATA": f"From me\n{_NAMED}From you\n b\nRequires-Dist: x"}),
        ("odd-1.0.dist-info", {"METADATA": ""}),
        ("odd.egg-info", {"PKG-INFO": f"{_NAMED}\nText\n", "requires.txt": "base\n[a]\nmore>1\n"}),
        ("odd.egg-info", {"PKG-INFO": f"{_NAMED}Requires-Dist: base\n"}),
        ("odd.egg-info", {"": f"{_NAMED}Requires-Dist: base\nProvides-Extra: a\n\nText"}),
    ],
)  # fmt: skip
def test_what_is_read_of_the_metadata_of_installed_distributions_is_what_it_says(
    place: str, files: Mapping[str, str], tmp_path: Path
) -> None:
    for name, text in files.items():
        path = tmp_path / place / name if name else tmp_path / place
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    (expected,) = importlib.metadata.distributions(path=[str(tmp_path)])
    (read,) = replace(probe(), path=(str(tmp_path),)).installed.values()
    assert list(map(str, read.requires_dist)) == [
        str(Requirement(line)) for line in expected.requires or ()
    ]
    assert sorted(read.extras) == sorted(expected.metadata.get_all("Provides-Extra") or ())


@pytest.mark.parametrize("ending", ["\r\n", "\r"])
def test_lines_end_in_any_way_in_metadata_that_is_in_no_file(ending: str) -> None:
    text = f"{_NAMED}Summary: a\nRequires-Dist: base\nProvides-Extra: b\n\nRequires-Dist: no\n"
    ended = text.replace("\n", ending)
    (read,) = replace(probe(), path=(), in_memory=(ended,)).installed.values()
    assert [str(read.version), *map(str, read.requires_dist), *read.extras] == ["1.0", "base", "b"]


@pytest.mark.parametrize(
    ("extras", "names"),
    [
        ((), {"base", "both", "address", "late"}),
        (("x-y",), {"base", "both", "address", "late", "one", "two"}),
        (("z", "other"), {"base", "both", "address", "late", "three"}),
    ],
)
def test_what_other_extras_require_is_not_parsed(
    extras: tuple[str, ...], names: set[str], tmp_path: Path
) -> None:
    lines = [
        "base>=1",
        "one ; extra == 'X_y'",
        'two[a,b]>=1,<3;extra=="x-y"',
        "three; extra == 'z'",
        "both; extra == 'x-y' or python_version > '3'",
        "address @ https://packages.example.org/address;extra=='x-y'",
        "late; extra != 'x-y'",
        "any_way.of [ a , b ] ( >= 1.0 , != 2.* , ~= 1.4 ) ; extra == 'unknown'",
    ]
    read = installed_with(lines, tmp_path)
    assert {one.name for one in read.requires(frozenset(map(canonicalize_name, extras)))} == names


@pytest.mark.parametrize(
    "invalid",
    ["is not valid", "dep >= 1.*", "dep ~= 2", "dep >= late", "dep >=1,,<2", "dep (>=1", "dep[a",
     "dep==1.0.*.1", "-dep", "dep @ "],
)  # fmt: skip
def test_what_is_not_valid_is_said_whoever_asks_for_it_as_pip_says_it(
    invalid: str, tmp_path: Path
) -> None:
    read = installed_with(["base>=1", f"{invalid} ; extra == 'unknown'"], tmp_path)
    with pytest.raises(ResolutionError, match="invalid requirement"):
        read.requires(frozenset())


def installed_with(lines: list[str], folder: Path) -> InstalledDistribution:
    """A distribution that is installed, and requires so much."""
    metadata = folder / "odd-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(metadata_text("odd", "1.0", lines), encoding="utf-8")
    (read,) = replace(probe(), path=(str(folder),)).installed.values()
    return read
