"""Attacks on a hand-off: a changed store, contradictory wheels, a hostile environment."""

from __future__ import annotations

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
    run_pip,
    site_packages,
    verified,
)
from tests.support.wheels import add_to_record, make_wheel, metadata_text


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


@pytest.mark.parametrize("is_plain_pip", [True, False])
def test_a_wheel_cannot_have_pip_remove_files_of_another_project(
    python: Path, tmp_path: Path, is_plain_pip: bool
) -> None:
    """Its RECORD names files that it does not hold: an uninstall would remove them."""
    two = make_wheel(tmp_path / "store", "two", "1")
    one = add_to_record(make_wheel(tmp_path / "store", "one", "1"), "two/", "two/__init__.py")
    if is_plain_pip:
        run_pip(python, "install", "--no-deps", "--no-index", one, two)
    else:
        install([hand_off(one), hand_off(two)], python)
        record = (site_packages(python) / "one-1.dist-info/RECORD").read_text()
        assert "one/__init__.py" in record
        assert "two/" not in record
    run_pip(python, "uninstall", "--yes", "one")
    assert (site_packages(python) / "two/__init__.py").exists() is not is_plain_pip


def test_a_wheel_makes_no_other_project_look_installed(python: Path, tmp_path: Path) -> None:
    """Otherwise that project would never be fetched: it looks installed."""
    library = site_packages(python).relative_to(python.parent.parent)
    other = f"one-1.data/data/{library}/other-9.dist-info/METADATA"
    files = {"one.py": "", other: metadata_text("other", "9")}
    wheel = make_wheel(tmp_path / "store", "one", "1", files=files)
    with pytest.raises(VerificationError, match="does not belong to its project"):
        install([hand_off(wheel)], python)
    assert not list(site_packages(python).iterdir())
    run_pip(python, "install", "--no-deps", "--no-index", "--find-links", wheel.parent, "one")
    assert installed(python) == {"one": "1", "other": "9"}


def test_a_wheel_cannot_write_whom_this_user_trusts(
    python: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With --user, the folder is where pip puts a wheel's data: ~/.local/share."""
    state = python.parent.parent / "share" / "securepip"
    monkeypatch.setenv("SECUREPIP_DATA_DIR", str(tmp_path / "link"))
    (tmp_path / "link").symlink_to(state)
    (state / "trust").mkdir(parents=True)
    (state / "trust/map.json").write_text("good")
    evil = {"one-1.data/data/share/./SecurePip/../securepip/trust/map.json": "evil"}
    wheel = make_wheel(tmp_path / "store", "one", "1", files={"one.py": "", **evil})
    with pytest.raises(VerificationError, match="would write"):
        install([hand_off(wheel)], python)
    assert not list(site_packages(python).iterdir())
    assert (state / "trust/map.json").read_text() == "good"
    run_pip(python, "install", "--no-deps", "--no-index", wheel)
    assert (state / "trust/map.json").read_text() == "evil"


@pytest.mark.parametrize("is_plain_pip", [True, False])
def test_nothing_of_a_wheel_runs_while_it_is_installed(
    python: Path, tmp_path: Path, is_plain_pip: bool
) -> None:
    """A start-up file, and a source that has to be compiled where it is installed.

    Other wheels wait to be installed then. pip starts no interpreter.
    """
    ran = tmp_path / "ran"
    files = {
        "one.pth": f"import os; open({str(ran)!r}, 'w')\n",
        "one-1.data/scripts/run.py": "#!python\n1\n",
    }
    wheel = make_wheel(tmp_path / "store", "one", "1", files=files)
    if is_plain_pip:
        run_pip(python, "install", "--no-deps", "--no-index", wheel)
    else:
        install([hand_off(wheel)], python)
    compiled = list((python.parent / "__pycache__").iterdir())
    assert len(compiled) == 1
    assert not ran.exists()


def test_nothing_of_a_wheel_runs_after_pip_has_failed_at_another(
    python: Path, tmp_path: Path
) -> None:
    """Pip fails in a way that it does not know; where nothing is installed yet it is run again."""
    ran = tmp_path / "ran"
    start = {"one.pth": f"import os; open({str(ran)!r}, 'w')\n"}
    one = make_wheel(tmp_path / "store", "one", "1", files=start)
    scripts = "[console_scripts]\nx = two:main [bad\n"
    two = make_wheel(tmp_path / "store", "two", "1", entry_points=scripts)
    with pytest.raises(InstallationError, match="Invalid specification"):
        install([hand_off(one), hand_off(two)], python)
    assert (site_packages(python) / "one.pth").exists()
    assert not ran.exists()


def test_a_script_in_another_folder_is_refused_before_anything_is_installed(
    python: Path, tmp_path: Path
) -> None:
    """An older pip writes it there, and a newer one stops when the rest of the wheel is there."""
    scripts = "[console_scripts]\n../../out = one:main\n"
    wheel = make_wheel(tmp_path / "store", "one", "1", entry_points=scripts)
    with pytest.raises(VerificationError, match="a script in another folder"):
        install([hand_off(wheel)], python)
    assert not list(site_packages(python).iterdir())


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
