"""What stands in the way of a hand-off: a changed store, contradicting wheels, a hostile place."""

from __future__ import annotations

import os
import socket
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from securepip.errors import FormatError, InstallationError, VerificationError
from securepip.installer import HandOff, InstallOptions, handoff, install
from securepip.interpreter import process
from tests.installer.conftest import (
    hand_off,
    installed,
    interrupted_install,
    site_packages,
    verified,
)
from tests.support.wheels import make_wheel, metadata_text


@pytest.fixture(autouse=True)
def _nothing_is_left(tmp_path: Path) -> object:
    yield
    assert list((tmp_path / "temporary").iterdir()) == []


def test_a_store_file_that_changed_after_it_was_verified_is_refused(
    python: Path, tmp_path: Path
) -> None:
    good = hand_off(make_wheel(tmp_path / "store", "good", "1"))
    item = hand_off(make_wheel(tmp_path / "store", "one", "1"))
    make_wheel(tmp_path / "store", "one", "1", files={"one/__init__.py": "evil = 1"})
    with pytest.raises(VerificationError, match="not what was verified"):
        install([good, item], python)
    assert installed(python) == {}


def test_metadata_that_is_not_what_was_resolved_is_refused(python: Path, tmp_path: Path) -> None:
    wheel = make_wheel(tmp_path / "store", "one", "1", ["evil"])
    item = hand_off(wheel, core_metadata=metadata_text("one", "1").encode())
    with pytest.raises(VerificationError, match="METADATA"):
        install([item], python)
    assert installed(python) == {}


@pytest.mark.parametrize(("name", "version"), [("other", "1"), ("one", "2")])
def test_a_wheel_that_says_inside_that_it_is_another_is_refused(
    python: Path, tmp_path: Path, name: str, version: str
) -> None:
    wheel = make_wheel(tmp_path / "store", "one", "1", metadata=metadata_text(name, version))
    with pytest.raises(VerificationError, match="says inside"):
        install([hand_off(wheel)], python)
    assert installed(python) == {}


def test_a_file_that_was_not_planned_is_refused(python: Path, tmp_path: Path) -> None:
    planned = hand_off(make_wheel(tmp_path / "store", "one", "1")).planned
    other = verified(make_wheel(tmp_path / "store", "two", "1"))
    with pytest.raises(VerificationError, match="planned"):
        install([HandOff(planned, other)], python)


def test_two_files_of_one_name_are_refused(python: Path, tmp_path: Path) -> None:
    item = hand_off(make_wheel(tmp_path / "store", "one", "1"))
    with pytest.raises(FileExistsError):
        install([item, item], python)


def test_a_wheel_that_is_no_archive_is_refused(python: Path, tmp_path: Path) -> None:
    wheel = tmp_path / "one-1-py3-none-any.whl"
    wheel.write_bytes(b"no archive")
    with pytest.raises(FormatError):
        install([hand_off(wheel, core_metadata=b"")], python)


@pytest.mark.parametrize(
    "member", ["../../../../out.py", "one-1.data/scripts/../../../out.py", "one-1.data/odd/x.py"]
)
def test_a_wheel_that_leaves_its_folders_is_refused_by_pip(
    python: Path, tmp_path: Path, member: str
) -> None:
    wheel = make_wheel(tmp_path / "store", "one", "1", files={"one.py": "", member: "x = 1\n"})
    with pytest.raises(InstallationError, match="one"):
        install([hand_off(wheel)], python)
    assert not list(tmp_path.rglob("out.*"))
    assert not list(tmp_path.rglob("__pycache__"))


def test_a_record_that_names_the_files_of_others_compiles_none_of_them(
    python: Path, tmp_path: Path
) -> None:
    victim = tmp_path / "victim" / "mod.py"
    victim.parent.mkdir()
    victim.write_text("x = 1\n")
    wheel = make_wheel(tmp_path / "store", "one", "1")
    with zipfile.ZipFile(wheel) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    outside = os.path.relpath(victim, site_packages(python))
    members["one-1.dist-info/RECORD"] += f"{outside},,\n".encode()
    with zipfile.ZipFile(wheel, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    install([hand_off(wheel)], python)
    assert list(victim.parent.iterdir()) == [victim]


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_file_of_metadata_may_be_there_twice_but_only_with_the_same_bytes(
    python: Path, tmp_path: Path
) -> None:
    wheel = make_wheel(tmp_path / "store", "one", "1")
    member = "one-1.dist-info/METADATA"
    with zipfile.ZipFile(wheel, "a") as archive:
        metadata = archive.read(member)
        archive.writestr(member, metadata)
    install([hand_off(wheel)], python)
    assert installed(python) == {"one": "1"}
    with zipfile.ZipFile(wheel, "a") as archive:
        archive.writestr(member, metadata + b"Requires-Dist: evil\n")
    for planned in (metadata, metadata + b"Requires-Dist: evil\n"):
        with pytest.raises(FormatError, match="METADATA twice, with different contents"):
            install([hand_off(wheel, core_metadata=planned)], python)


def test_pip_fetches_nothing_that_a_wheel_points_to(python: Path, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.2)
        url = f"http://127.0.0.1:{server.getsockname()[1]}/evil-1-py3-none-any.whl"
        wheel = make_wheel(tmp_path / "store", "one", "1", [f"evil @ {url}"])
        install([hand_off(wheel)], python)
        with pytest.raises(TimeoutError):
            server.accept()
    assert installed(python) == {"one": "1"}


def test_pip_installs_nothing_that_it_was_told_no_hash_of(
    python: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(handoff, "_line", lambda item: f"{item.planned.project}==1")
    with pytest.raises(InstallationError, match="require-hashes"):
        install([hand_off(make_wheel(tmp_path / "store", "one", "1"))], python)
    assert installed(python) == {}


def test_pip_obeys_no_variable_even_if_one_reaches_it(
    python: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = tmp_path / "elsewhere"
    leaking = {**process.clean_environment(), "PIP_TARGET": str(elsewhere)}
    monkeypatch.setattr(process, "clean_environment", lambda: leaking)
    install([hand_off(make_wheel(tmp_path / "store", "one", "1"))], python)
    assert installed(python) == {"one": "1"}
    assert not elsewhere.exists()


def test_nothing_around_the_user_changes_what_is_installed(
    python: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hostile = tmp_path / "hostile"
    make_wheel(hostile / "wheels", "one", "1", files={"one/__init__.py": "evil = 1"})
    marker = hostile / "ran"
    for name in ("pip/__init__.py", "pip/__main__.py", "pip/__pip-runner__.py", "json.py"):
        (hostile / name).parent.mkdir(exist_ok=True)
        (hostile / name).write_text(f"open({str(marker)!r}, 'w')\n")
    for name in ("compileall.py", "sitecustomize.py", "usercustomize.py"):
        (hostile / name).write_text(f"open({str(marker)!r}, 'w')\n")
    config = hostile / "pip.conf"
    config.write_text(f"[global]\nfind-links = {hostile / 'wheels'}\ntarget = {hostile / 'out'}\n")
    (python.parent.parent / "pip.conf").write_text(config.read_text())
    monkeypatch.chdir(hostile)
    settings = {"FIND_LINKS": "wheels", "TARGET": "out", "NO_DEPS": "1", "LOG": "log"}
    settings |= {"CONFIG_FILE": str(config), "REQUIREMENT": "r.txt", "PYTHON": sys.executable}
    for name, value in settings.items():
        monkeypatch.setenv(f"PIP_{name}", value)
    monkeypatch.setenv("PYTHONPATH", str(hostile))
    monkeypatch.setenv("PYTHONSTARTUP", str(hostile / "json.py"))
    monkeypatch.setenv("PYTHONHOME", str(hostile))
    monkeypatch.syspath_prepend(str(hostile))
    app = make_wheel(tmp_path / "store", "app", "1", ["one"])
    one = make_wheel(tmp_path / "store", "one", "1")
    install([hand_off(app), hand_off(one, requested=False)], python)
    assert (site_packages(python) / "one" / "__init__.py").read_text() == "VERSION = '1'\n"
    assert installed(python) == {"app": "1", "one": "1"}
    assert not marker.exists()
    assert not (hostile / "out").exists()
    assert not (hostile / "log").exists()


def test_a_python_that_another_tool_manages_is_left_alone(
    new_environment: Callable[[], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # An interpreter whose standard library says so, and that is no virtual environment: the
    # running pip is told that by the two functions that it asks.
    python = new_environment()
    packages = site_packages(python)
    (tmp_path / "stdlib").mkdir()
    (tmp_path / "stdlib" / "EXTERNALLY-MANAGED").write_text(
        "[externally-managed]\nError=Ask the administrator.\n"
    )
    (packages / "managed.pth").write_text(
        "import sys, sysconfig; sys.base_prefix = sys.prefix; "
        "sysconfig.get_path = lambda name, *a, old=sysconfig.get_path, **k: "
        f"{str(tmp_path / 'stdlib')!r} if name == 'stdlib' else old(name, *a, **k)\n"
    )
    item = hand_off(make_wheel(tmp_path / "store", "one", "1"))
    with pytest.raises(InstallationError, match="Ask the administrator") as failed:
        install([item], python)
    assert failed.value.exit_code == 1
    options = InstallOptions(pip_arguments=("--break-system-packages",))
    assert len(install([item], python, options).installed) == 1


def test_pip_that_does_less_than_planned_is_an_error(
    python: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    items = [hand_off(make_wheel(tmp_path / "store", name, "1")) for name in ("one", "two")]
    tell = handoff._write_requirements
    monkeypatch.setattr(handoff, "_write_requirements", lambda all_, *to: tell(all_[:1], *to))
    with pytest.raises(InstallationError, match="did not install two-1"):
        install(items, python)


def test_a_python_that_does_not_run_is_an_error(tmp_path: Path) -> None:
    item = hand_off(make_wheel(tmp_path / "store", "one", "1"))
    for broken in (tmp_path / "nowhere", Path("/bin/false")):
        with pytest.raises(InstallationError):
            install([item], broken)


def test_what_was_installed_before_pip_failed_is_whole(python: Path, tmp_path: Path) -> None:
    bad = make_wheel(tmp_path / "store", "zbad", "1", ["good"], files={"zbad-1.data/odd/x": "x"})
    good = make_wheel(tmp_path / "store", "good", "1")
    with pytest.raises(InstallationError):
        install([hand_off(good, requested=False), hand_off(bad)], python)
    record = (site_packages(python) / "good-1.dist-info" / "RECORD").read_text()
    assert "__pycache__" in record


def test_an_interrupted_install_leaves_nothing_in_the_way_of_the_next(
    python: Path, tmp_path: Path
) -> None:
    files = {f"big/mod{n}.py": "x = 1\n" * 50 for n in range(600)}
    wheel = make_wheel(tmp_path / "store", "big", "1", files=files)
    big = site_packages(python) / "big"
    assert interrupted_install([wheel], python, once_there=[big]) != 0
    assert len(install([hand_off(wheel)], python).installed) == 1
    assert installed(python) == {"big": "1"}
