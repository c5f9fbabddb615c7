"""A hand-off leaves the same files as plain pip."""

from __future__ import annotations

import sys
import venv
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NoReturn

import pytest

from securepip.dirs import Seal
from securepip.formats.core_metadata import read_core_metadata
from securepip.installer.handoff import InstallOptions, install
from securepip.installer.target.byte_code_cache import ByteCodeCache
from securepip.installer.target.workers import SourceCompiler, Sources
from tests.installer.conftest import (
    BUNDLED,
    hand_off,
    installed,
    run_pip,
    site_packages,
    snapshot,
)
from tests.support.wheels import make_wheel

_SCRIPT = "#!python\nprint('run')\n"


@pytest.fixture
def odd_wheels(tmp_path: Path) -> list[Path]:
    """Wheels with all kinds of files; the first one requires the others."""
    folder = tmp_path / "store"
    app = make_wheel(
        folder,
        "Odd.App",
        "1.0rc1",
        ["odd-lib[fast]>=1", "odd-namespace"],
        files={
            "odd_app/__init__.py": "",
            "odd_app/broken.py": "def (:\n",
            "odd_app/nulls.py": b"x = 1\0\n",
            "odd_app/latin.py": b"x = '\xff'\n",
            "odd_app/warns.py": "x = '\\d'\nassert x\n",
            "odd_app/deep/er/est.py": "def f():\n    'doc'\n    return [1, 2]\n",
            "odd_app/data.txt": "data",
            'odd_app/a,"b.py': "x = 1\n",
            "odd_app/templates/t.py.in": "{{x}}",
            "odd_app-1.0rc1.data/scripts/odd-script": _SCRIPT,
            "odd_app-1.0rc1.data/scripts/odd_script.py": _SCRIPT,
            "odd_app-1.0rc1.data/data/share/odd/x.py": "x = 2\n",
            "odd_app-1.0rc1.data/data/etc/odd.conf": "y",
            "odd_app-1.0rc1.data/purelib/odd_more/__init__.py": "x = 3\n",
            "odd_app-1.0rc1.data/headers/odd.h": "int x;",
            "tests/__init__.py": "WHOSE = 'odd_app'\n",
        },
        entry_points="[console_scripts]\nodd = odd_app:main\nodd.py = odd_app:main\n"
        "[gui_scripts]\nodd-gui = odd_app:main\n",
    )
    lib = make_wheel(
        folder,
        "odd-lib",
        "2.0+local.1",
        ["odd-fast; extra == 'fast'"],
        extras=["fast"],
        files={
            "odd_lib.py": "x = 1\n",
            "odd_lib_data/__init__.py": "",
            "odd_lib_data/__pycache__/stale.cpython-30.pyc": b"old",
            f"odd_lib_data/__pycache__/__init__.{sys.implementation.cache_tag}.pyc": b"old",
            "tests/__init__.py": "WHOSE = 'the one that is installed first, and longer'\n",
        },
    )
    fast = make_wheel(folder, "odd-fast", "1!3.0.post1.dev2", files={"ns/fast.py": "x = 1\n"})
    namespace = make_wheel(folder, "odd-namespace", "1", files={"ns/mod.py": "x = 1\n"})
    return [app, lib, fast, namespace]


def _compare(
    new_environment: Callable[[], Path],
    wheels: list[Path],
    requirements: list[str],
    options: InstallOptions,
    *,
    same_paths: bool = True,
    byte_code: ByteCodeCache | None = None,
) -> None:
    python = new_environment()
    root = python.parent.parent.parent
    plain: list[str | Path] = [
        "install",
        "--no-index",
        "--find-links",
        wheels[0].parent,
        *options.arguments(),
    ]
    plain += [] if options.compile else ["--no-compile"]
    run_pip(python, *plain, *requirements)
    ignored = {"store", "temporary"}

    def state() -> dict[str, object]:
        tree = snapshot(root, same_paths=same_paths)
        return {name: each for name, each in tree.items() if name.split("/")[0] not in ignored}

    expected = state()
    python = new_environment()
    for folder in root.iterdir():
        if folder.name not in {"store", "temporary", "env"}:
            _remove(folder)
    report = install(
        # As a plan has them: dependencies first.
        [hand_off(one, requested=one in wheels[: len(requirements)]) for one in reversed(wheels)],
        python,
        options,
        byte_code=byte_code,
    )
    actual = state()
    assert sorted(actual) == sorted(expected)
    assert [name for name in expected if actual[name] != expected[name]] == []
    assert len(report.installed) == len(wheels)


def _remove(folder: Path) -> None:
    for path in sorted(folder.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    folder.rmdir()


@pytest.fixture
def compiled_before(
    odd_wheels: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[], ByteCodeCache]]:
    """Fills the cache by an install elsewhere. No wheel is compiled after that."""

    def fill() -> ByteCodeCache:
        folder = tmp_path / "temporary" / "elsewhere \u00e9"
        venv.create(folder, symlinks=True)
        cache = ByteCodeCache(tmp_path / "temporary" / "cache", lambda: Seal(b"secret"))
        wheels = [hand_off(wheel) for wheel in reversed(odd_wheels)]
        install(wheels, folder / "bin" / "python", byte_code=cache)
        monkeypatch.setattr(SourceCompiler, "compile", compile_again)
        return cache

    def compile_again(_: SourceCompiler, sources: Sources) -> NoReturn:
        compiled.append(sources.wheel.name)
        raise ValueError("not to be compiled again")

    compiled: list[str] = []
    yield fill
    assert compiled == []


@pytest.mark.parametrize("kept", [False, True])
def test_everything_is_as_pip_leaves_it(
    new_environment: Callable[[], Path],
    odd_wheels: list[Path],
    compiled_before: Callable[[], ByteCodeCache],
    kept: bool,
) -> None:
    cache = compiled_before() if kept else None
    _compare(new_environment, odd_wheels, ["odd-app==1.0rc1"], InstallOptions(), byte_code=cache)


def test_the_order_is_pips_where_two_distributions_write_the_same_file(
    new_environment: Callable[[], Path], tmp_path: Path
) -> None:
    shared = {"shared.py": "WHOSE = 'the last one that is installed'\n"}
    app = make_wheel(tmp_path / "store", "z-app", "1", ["a-lib"], files=shared)
    lib = make_wheel(tmp_path / "store", "a-lib", "1", files={"shared.py": "WHOSE = 'the first'"})
    _compare(new_environment, [app, lib], ["z-app"], InstallOptions())


def test_no_compile_is_honoured(
    new_environment: Callable[[], Path], odd_wheels: list[Path], tmp_path: Path
) -> None:
    cache = ByteCodeCache(tmp_path / "temporary" / "cache", lambda: Seal(b"secret"))
    options = InstallOptions(compile=False)
    _compare(new_environment, odd_wheels, ["odd-app==1.0rc1"], options, byte_code=cache)
    assert not (tmp_path / "temporary" / "cache").exists()


def test_byte_code_is_checked_by_hash_where_the_build_is_reproducible(
    new_environment: Callable[[], Path],
    odd_wheels: list[Path],
    compiled_before: Callable[[], ByteCodeCache],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PYTHONOPTIMIZE", "1")
    cache = compiled_before()  # where it is checked by time
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    _compare(new_environment, odd_wheels, ["odd-app==1.0rc1"], InstallOptions(), byte_code=cache)


@pytest.mark.parametrize("option", ["prefix", "root"])
def test_other_places_are_as_pip_leaves_them(
    new_environment: Callable[[], Path], odd_wheels: list[Path], tmp_path: Path, option: str
) -> None:
    options = InstallOptions(**{option: str(tmp_path / "elsewhere")})  # type: ignore[arg-type] # a location
    _compare(new_environment, odd_wheels, ["odd-app==1.0rc1"], options)


def test_a_target_folder_is_as_pip_leaves_it(
    new_environment: Callable[[], Path], tmp_path: Path
) -> None:
    files = {"one/__init__.py": "", "one/bad.py": "(", "one/two.py": "def f(): return 1\n"}
    wheel = make_wheel(tmp_path / "store", "one", "1", files=files)
    options = InstallOptions(target=str(tmp_path / "elsewhere"))
    # pip compiles in a temporary folder, whose name stays in the byte code.
    _compare(new_environment, [wheel], ["one"], options, same_paths=False)


def test_the_users_own_packages_are_as_pip_leaves_them(
    tmp_path: Path, odd_wheels: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONUSERBASE", str(tmp_path / "user"))

    def with_system_packages() -> Path:
        venv.create(tmp_path / "env", clear=True, symlinks=True, system_site_packages=True)
        return tmp_path / "env" / "bin" / "python"

    options = InstallOptions(user=True, pip_arguments=("--no-warn-script-location",))
    _compare(with_system_packages, odd_wheels, ["odd-app==1.0rc1"], options)


@pytest.mark.skipif(not BUNDLED, reason="this Python has no bundled wheels")
def test_real_wheels_are_as_pip_leaves_them(new_environment: Callable[[], Path]) -> None:
    requirements = ["==".join(wheel.name.split("-")[:2]) for wheel in BUNDLED]
    _compare(new_environment, BUNDLED, requirements, InstallOptions())


def test_pip_finds_all_in_order_and_can_take_it_away_again(
    new_environment: Callable[[], Path], odd_wheels: list[Path]
) -> None:
    python = new_environment()
    before = snapshot(site_packages(python))
    install([hand_off(wheel, requested=wheel is odd_wheels[0]) for wheel in odd_wheels], python)
    packages = site_packages(python)
    assert installed(python) == {
        "Odd.App": "1.0rc1",
        "odd-fast": "1!3.0.post1.dev2",
        "odd-lib": "2.0+local.1",
        "odd-namespace": "1",
    }
    assert run_pip(python, "check").returncode == 0
    requested = [path.parent.name for path in packages.glob("*/REQUESTED")]
    assert requested == ["odd_app-1.0rc1.dist-info"]
    assert {path.read_text() for path in packages.glob("*/INSTALLER")} == {"pip\n"}
    assert not list(packages.glob("*/direct_url.json"))
    run_pip(python, "uninstall", "-y", "odd-app", "odd-lib", "odd-fast", "odd-namespace")
    assert snapshot(packages) == before


def test_an_upgrade_takes_the_old_version_away(python: Path, tmp_path: Path) -> None:
    old = make_wheel(tmp_path / "old", "one", "1", files={"one/gone.py": "", "one/a.py": "x = 1"})
    new = make_wheel(tmp_path / "new", "one", "2", files={"one/a.py": "x = 2\n"})
    install([hand_off(old)], python)
    install([hand_off(new)], python)
    names = {path.name for path in site_packages(python).rglob("*.py*")}
    assert names >= {"a.py"}
    assert not any(name.startswith("gone") for name in names)
    assert installed(python) == {"one": "2"}


def test_the_same_version_is_installed_again_when_that_is_asked(
    python: Path, tmp_path: Path
) -> None:
    wheel = make_wheel(tmp_path / "store", "one", "1")
    install([hand_off(wheel)], python)
    module = site_packages(python) / "one" / "__init__.py"
    module.write_text("damaged")
    options = InstallOptions(pip_arguments=("--force-reinstall",))
    assert len(install([hand_off(wheel)], python, options).installed) == 1
    assert module.read_text() == "VERSION = '1'\n"
    assert run_pip(python, "show", "-f", "one").stdout.count("__init__") == 2


def test_pip_looks_at_no_dependency(python: Path, tmp_path: Path) -> None:
    needs = ["nowhere", "gone>5", "evil @ http://127.0.0.1:9/evil-1.0-py3-none-any.whl"]
    app = make_wheel(tmp_path / "store", "app", "1", needs)
    install([hand_off(app)], python)
    assert installed(python) == {"app": "1"}


def test_a_pythons_own_pip_is_not_needed_and_metadata_is_the_wheels(
    python: Path, tmp_path: Path
) -> None:
    wheel = make_wheel(tmp_path / "store", "one", "1")
    report = install([hand_off(wheel)], python)
    (one,) = report.installed
    assert (one.name, one.version) == ("one", "1")
    assert (one.dist_info / "METADATA").read_bytes() == read_core_metadata(wheel)
    assert report.warnings == "" or "root" in report.warnings
