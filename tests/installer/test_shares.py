"""Wheels without a common file are installed at the same time, with the same result as pip's."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from securepip.errors import InstallationError
from securepip.installer import InstallOptions, handoff, install, shares
from securepip.installer.shares import compare, divide
from securepip.installer.wheels import Copies
from securepip.interpreter import _shares
from tests.installer.conftest import (
    hand_off,
    installed,
    interrupted_install,
    run_pip,
    site_packages,
    snapshot,
)
from tests.support.wheels import make_wheel

_SCHEME = {
    "purelib": "/env/lib/python3/site-packages",
    "platlib": "/env/lib/python3/site-packages",
    "scripts": "/env/bin",
    "data": "/env",
}


@pytest.fixture
def eager(monkeypatch: pytest.MonkeyPatch) -> None:
    """Use a process for each wheel."""
    monkeypatch.setattr(shares, "_WORTH_BYTES", 1)
    monkeypatch.setattr(os, "cpu_count", lambda: 4)


@pytest.fixture
def python(new_environment: Callable[[], Path]) -> Path:
    """An interpreter that writes a file after each fork."""
    python = new_environment()
    (site_packages(python) / "tells.pth").write_text(
        "import os, sys; os.register_at_fork(after_in_child="
        "lambda: open(f'{sys.prefix}/forked-{os.getpid()}', 'w').close())\n"
    )
    return python


def _forks(python: Path) -> int:
    return len(list(python.parent.parent.glob("forked-*")))


@pytest.mark.usefixtures("eager")
@pytest.mark.parametrize(
    ("one", "two", "apart"),
    [
        ({"a.py": ""}, {"b.py": ""}, True),
        ({"space/a.py": ""}, {"space/b.py": ""}, True),
        ({"space/a.py": ""}, {"space/a.py": ""}, False),
        ({"space/a.py": ""}, {"space/./x/../A.py": ""}, False),
        ({"a.py": ""}, {"two-1.data/purelib/a.py": ""}, False),
        ({"a.py": ""}, {"two-1.data/platlib/a.py": ""}, False),
        ({"a.py": ""}, {"two-1.data/./purelib/x/../a.py": ""}, False),
        ({"\u00e9.py": ""}, {"e\u0301.py": ""}, False),
        ({"a.py": ""}, {"two-1.data/data/lib/python3/site-packages/a.py": ""}, False),
        ({"one-1.data/data/bin/run": ""}, {"two-1.data/scripts/run": ""}, False),
        ({"one-1.data/data/share/x": ""}, {"two-1.data/data/share/x": ""}, False),
        ({"one-1.data/headers/x.h": ""}, {"two-1.data/headers/x.h": ""}, True),
        ({"one-1.data/scripts/run": ""}, {"b.py": "", "entry_points": "run"}, False),
        ({"a.py": "", "entry_points": "run"}, {"b.py": "", "entry_points": "run"}, False),
        ({"a.py": "", "entry_points": "run"}, {"b.py": "", "entry_points": "walk"}, True),
    ],
)
def test_wheels_that_write_the_same_file_stay_together(
    tmp_path: Path, one: dict[str, str], two: dict[str, str], apart: bool
) -> None:
    wheels = []
    for name, files in (("one", one), ("two", two)):
        script = files.pop("entry_points", "")
        points = f"[other]\nx = y:z\n[console_scripts]\n# a comment\n{script} = m:main\n"
        wheel = make_wheel(tmp_path, name, "1", files=files, entry_points=script and points)
        wheels.append(hand_off(wheel))
    (tmp_path / "copies").mkdir()
    divided = divide(compare(Copies(tmp_path / "copies").all(wheels), _SCHEME), 2)
    assert sorted(map(sorted, divided)) == ([["one"], ["two"]] if apart else [["one", "two"]])


@pytest.mark.usefixtures("eager")
def test_wheels_that_write_the_same_file_by_way_of_a_link_stay_together(tmp_path: Path) -> None:
    """Which of them is there afterwards would else depend on which process was faster."""
    (tmp_path / "lib/site-packages").mkdir(parents=True)
    (tmp_path / "lib64").symlink_to("lib")
    library = str(tmp_path / "lib/site-packages")
    scheme = {**_SCHEME, "purelib": library, "platlib": library, "data": str(tmp_path)}
    wheels = [
        hand_off(make_wheel(tmp_path, name, "1", files={file: ""}))
        for name, file in (("one", "a.py"), ("two", "two-1.data/data/lib64/site-packages/a.py"))
    ]
    (tmp_path / "copies").mkdir()
    divided = divide(compare(Copies(tmp_path / "copies").all(wheels), scheme), 2)
    assert sorted(map(sorted, divided)) == [["one", "two"]]


def test_a_share_that_was_killed_has_not_ended_as_pip_ends() -> None:
    """By exit code 2 pip says that it fails in a way that it does not know, and is run again."""
    program = textwrap.dedent(f"""
        import importlib.util, os, signal, sys, types
        spec = importlib.util.spec_from_file_location("shares", {_shares.__file__!r})
        shares = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(shares)
        command = types.SimpleNamespace(install_given_reqs=lambda requirements: [])
        sys.modules[shares._COMMAND] = command
        sharing = shares.Shares()
        sharing.begin([["0"], ["1"]])
        if sharing.is_copy:
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            os.kill(os.getpid(), signal.SIGINT)
        os._exit(sharing.finish(0))
    """)
    done = subprocess.run([sys.executable, "-c", program], check=False)
    assert done.returncode == 128 + signal.SIGINT


@pytest.mark.parametrize("other", ["one-1.data/purelib/a.py", "one-1.data/./purelib/a.py"])
def test_byte_code_is_of_the_source_that_is_there_where_a_wheel_holds_two(
    python: Path, tmp_path: Path, other: str
) -> None:
    files = {"a.py": "who = 'one'\n", other: "who = 'two'\n"}
    wheel = make_wheel(tmp_path / "store", "one", "1", files=files)
    install([hand_off(wheel)], python)
    there = (site_packages(python) / "a.py").read_text().split()[2]
    command = [str(python), "-B", "-c", "import a; print(repr(a.who))"]
    assert subprocess.check_output(command, text=True).strip() == there


def test_little_is_installed_by_one_process(tmp_path: Path) -> None:
    wheels = [hand_off(make_wheel(tmp_path, name, "1")) for name in ("one", "two")]
    (tmp_path / "copies").mkdir()
    assert divide(compare(Copies(tmp_path / "copies").all(wheels), _SCHEME), 8) == [["one", "two"]]


@pytest.mark.usefixtures("eager")
def test_all_is_there_as_if_one_process_had_installed_it(python: Path, tmp_path: Path) -> None:
    names = ["one", "two", "three", "four", "five"]
    wheels = [
        make_wheel(
            tmp_path / "store", name, "1",
            files={f"space/{name}.py": "x = 1\n", f"{name}-1.data/data/share/{name}": name},
            entry_points=f"[console_scripts]\n{name} = space.{name}:x\n",
        )
        for name in names
    ]  # fmt: skip
    run_pip(python, "install", "--no-index", *wheels)
    for record in site_packages(python).glob("*/direct_url.json"):
        record.unlink()  # what pip says of a file that it is given by its path
    expected = snapshot(python.parent.parent)
    run_pip(python, "uninstall", "-y", *names)
    report = install([hand_off(wheel) for wheel in wheels], python)
    assert _forks(python) == 3
    assert [one.name for one in report.installed] == names
    actual = snapshot(python.parent.parent)
    differing = {name for name in {*actual, *expected} if actual.get(name) != expected.get(name)}
    assert {name for name in differing if "forked" not in name and "RECORD" not in name} == set()
    run_pip(python, "uninstall", "-y", *names)
    assert installed(python) == {}


@pytest.mark.usefixtures("eager")
@pytest.mark.parametrize("bad", ["one", "two", "three"])
def test_where_one_share_fails_the_others_stay_and_the_error_is_said_whole(
    python: Path, tmp_path: Path, bad: str
) -> None:
    def wheel(name: str) -> Path:
        files = {f"{name}-1.data/odd/x": ""} if name == bad else {f"{name}.py": ""}
        return make_wheel(tmp_path / "store", name, "1", files=files)

    wheels = [wheel(name) for name in ("one", "two", "three")]
    with pytest.raises(
        InstallationError, match=f"^For req: {bad}==1.*Unknown scheme key"
    ) as failed:
        install([hand_off(wheel) for wheel in wheels], python)
    assert failed.value.exit_code == 1
    assert _forks(python) == 2
    whole = {
        path.parent.name.partition("-")[0]
        for path in site_packages(python).glob("*/RECORD")
        if "__pycache__" in path.read_text()
    }
    assert whole == {"one", "two", "three"} - {bad}


@pytest.mark.usefixtures("eager")
@pytest.mark.parametrize("bad", ["one", "three"])
def test_nothing_is_installed_where_a_digest_is_wrong(
    python: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bad: str
) -> None:
    right = handoff._line
    monkeypatch.setattr(
        handoff,
        "_line",
        lambda item: right(item)[:-3] + "bad" if item.planned.project == bad else right(item),
    )
    names = ("one", "two", "three")
    wheels = [make_wheel(tmp_path / "store", name, "1") for name in names]
    with pytest.raises(InstallationError, match=f"(?s)DO NOT MATCH.*{bad}") as failed:
        install([hand_off(wheel) for wheel in wheels], python)
    assert str(failed.value).count("DO NOT MATCH") == 1
    assert _forks(python) == 2
    assert installed(python) == {}


@pytest.mark.usefixtures("eager")
def test_what_is_installed_is_replaced(python: Path, tmp_path: Path) -> None:
    for version in ("1", "2"):
        wheels = [make_wheel(tmp_path / version, name, version) for name in ("one", "two")]
        report = install([hand_off(wheel) for wheel in wheels], python)
    assert installed(python) == {"one": "2", "two": "2"}
    said = [line.strip() for line in report.replaced]
    assert {f"Successfully uninstalled {name}-1" for name in ("one", "two")} < set(said)


@pytest.mark.parametrize("replaced", [None, 0, 2])
def test_where_something_is_replaced_one_process_installs_after_another(
    tmp_path: Path, replaced: int | None
) -> None:
    # pip stands for what tells how many of it install at a time.
    program = textwrap.dedent(f"""
        import importlib.util, os, sys, time, types
        spec = importlib.util.spec_from_file_location("shares", {_shares.__file__!r})
        shares = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(shares)
        os.chdir({str(tmp_path)!r})
        def begun(*beginnings):
            return [name for name in os.listdir() if name.startswith(beginnings)]
        def install(requirements, **options):
            open(f"in-{{os.getpid()}}", "w").close()
            end = time.monotonic() + {0.2 if replaced is not None else 60}
            while time.monotonic() < end and len(begun("in-", "out-")) < 3:
                time.sleep(0.01)
            print(len(begun("in-")), flush=True)
            os.rename(f"in-{{os.getpid()}}", f"out-{{os.getpid()}}")
        command = types.SimpleNamespace(install_given_reqs=install)
        sys.modules[shares._COMMAND] = command
        sharing = shares.Shares()
        number = int(sharing.begin([["0"], ["1"], ["2"]])[0])
        one = types.SimpleNamespace(should_reinstall=number == {replaced})
        command.install_given_reqs([one], root=None)
        sys.exit(sharing.finish(0))
    """)
    said = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert len(list(tmp_path.glob("out-*"))) == 3
    at_a_time = max(map(int, said.stdout.split()))
    assert (at_a_time > 1) == (replaced is None)


@pytest.mark.usefixtures("eager")
def test_a_target_folder_is_filled_by_one_process(python: Path, tmp_path: Path) -> None:
    wheels = [make_wheel(tmp_path / "store", name, "1") for name in ("one", "two")]
    options = InstallOptions(target=str(tmp_path / "target"))
    install([hand_off(wheel) for wheel in wheels], python, options)
    assert _forks(python) == 0


def test_an_interrupt_reaches_every_process(python: Path, tmp_path: Path) -> None:
    wheels = [
        make_wheel(
            tmp_path / "store", name, "1",
            files={f"{name}/mod{n}.py": "x = 1\n" * 50 for n in range(1200)},
        )
        for name in ("one", "two")
    ]  # fmt: skip
    folders = [site_packages(python) / name for name in ("one", "two")]
    assert interrupted_install(wheels, python, once_there=folders) != 0
    assert _forks(python) == 1
    there = snapshot(site_packages(python))
    time.sleep(0.1)
    assert snapshot(site_packages(python)) == there  # nobody writes any more
    assert installed(python) == {}
