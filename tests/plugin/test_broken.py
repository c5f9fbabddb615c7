"""If anything is wrong with the plugin, pip stops with the reason, and never goes on unverified."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import securepip
from securepip.formats.digests import sha256_of
from securepip.plugin.start import start_line
from tests.plugin.conftest import assert_refused, own_pip, run, run_pip
from tests.support.hostile import HostileServer, flip_byte
from tests.support.machine import Machine, like_anybody

_STOPPED = "pip is stopped by securepip's plugin"


def cut_off(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:5000])


def misspell(path: Path) -> None:
    path.write_text(path.read_text() + "\nthis is no Python\n")


def change(path: Path) -> None:
    path.write_text(path.read_text().replace("https:", "gopher:"))


def lock_away(path: Path) -> None:
    path.unlink()
    path.mkdir()


def assert_stops(machine: Machine, reason: str) -> None:
    """Check that pip does nothing and says why and what to do, and that Python itself runs."""
    for words in (("--version",), ("list",), ("install", "--no-index", "app")):
        done = run_pip(machine, *words)
        assert done.code == 1, done
        assert not done.out
        assert _STOPPED in done.err
        assert reason in done.err
        assert "securepip plugin enable --python " in done.err
        assert "securepip plugin disable --python " in done.err
        assert "Traceback" not in done.err
    done = run(machine, machine.python, "-c", "import json; print(json.dumps(1))")
    assert (done.code, done.out, done.err) == (0, "1\n", "")


@pytest.mark.parametrize(
    ("harm", "reason"),
    [
        (Path.unlink, "_securepip_plugin.py is missing"),
        (cut_off, "was changed or cut off"),
        (misspell, "was changed or cut off"),
        (change, "was changed or cut off"),
        (lock_away, "_securepip_plugin.py is missing"),
    ],
)
def test_a_shim_that_is_not_whole(
    plugged: Machine, harm: Callable[[Path], object], reason: str
) -> None:
    harm(plugged.site_packages / "_securepip_plugin.py")
    assert_stops(plugged, reason)


def test_securepip_is_gone(plugged: Machine) -> None:
    line = plugged.site_packages / "securepip-plugin.pth"
    text = line.read_text()
    assert "/securepip/__main__.py" in text
    line.write_text(text.replace("/securepip/__main__.py", "/no-securepip/__main__.py"))
    assert_stops(plugged, "securepip, which verifies, is no longer where it was")


def test_securepip_does_not_start(plugged: Machine) -> None:
    line = plugged.site_packages / "securepip-plugin.pth"
    text = line.read_text()
    line.write_text(
        text.replace("from securepip.plugin.serve import main", "from nowhere import x")
    )
    done = run_pip(plugged, "install", "app")
    assert done.code == 1
    assert "gateway did not start" in done.err
    assert "No module named 'nowhere'" in done.err


@pytest.mark.parametrize("folder", ["data", "data/trust/made"])
def test_state_that_cannot_be_written_is_named_with_the_ways_out(
    trusting: Machine, folder: str
) -> None:
    words = ("-m", "pip", "install", "app")
    locked = trusting.folder / folder
    locked.chmod(0o500)
    try:
        done = run(trusting, *like_anybody(), trusting.python, *words)
    finally:
        locked.chmod(0o700)
    assert_refused(done, str(locked), "SECUREPIP_DATA_DIR", "securepip install --read-only-state")


def test_a_gateway_that_has_ended_is_not_believed_whoever_answers_at_its_port(
    plugged: Machine, hostile: HostileServer
) -> None:
    page = b'<a href="evil-1.0-py3-none-any.whl">evil</a>'
    hostile.alter("by-url", lambda _: page)
    hostile.delay = 0.5
    said = json.dumps({"url": hostile.url, "file": "nowhere"})
    code = (plugged.site_packages / "_securepip_plugin.py").read_bytes()
    config = {
        "shim": "_securepip_plugin.py",
        "sha256": sha256_of(code),
        "command": [sys.executable, "-c", f"input(); print({said!r})"],
        "needs": [],
        "files": [],
        "remedy": "",
    }
    (plugged.site_packages / "securepip-plugin.pth").write_text(start_line(config))
    assert_refused(run_pip(plugged, "download", "evil"), "gateway has ended")


def test_a_shim_of_another_version_of_securepip_is_told_to_be_renewed(machine: Machine) -> None:
    command = "from securepip.plugin.serve import main; raise SystemExit(main())"
    done = subprocess.run(
        [sys.executable, "-c", command],
        env={**machine.variables, "PYTHONPATH": str(Path(securepip.__file__).parents[1])},
        input='{"an_option_of_the_future": 1}\n',
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "Enable it again: securepip plugin enable" in done.stderr


def test_pip_was_imported_by_an_earlier_start_up_file(plugged: Machine) -> None:
    (plugged.site_packages / "a.pth").write_text("import pip._internal.cli.main\n")
    for words in (("--version",), ("install", "--no-index", "app")):
        done = run_pip(plugged, *words)
        assert done.code == 1, done
        assert "pip was imported before the plugin could look at it" in done.err
        assert not done.out
    # Python prints the error of the other file, and continues.
    assert run(plugged, plugged.python, "-c", "print(1)").out == "1\n"


def test_pip_was_imported_by_a_later_start_up_file(
    trusting: Machine, hostile: HostileServer
) -> None:
    # For that file, the plugin is already loaded.
    (trusting.site_packages / "sitecustomize.py").write_text("import pip._internal.cli.main\n")
    hostile.alter("simple/app/.*", flip_byte)
    assert_refused(run_pip(trusting, "install", "app"), f"{hostile.url}simple/app/")


@pytest.mark.parametrize(
    ("module", "old", "new"),
    [
        ("network/session.py", "class PipSession(", "class OtherSession("),
        ("req/req_install.py", "class InstallRequirement", "class OtherRequirement"),
        ("req/req_file.py", "def get_file_content(", "def get_other_content("),
        ("vcs/versioncontrol.py", "    def obtain(", "    def get("),
        ("cache.py", "class WheelCache(", "class OtherCache("),
    ],
)
def test_a_pip_whose_inside_no_longer_fits(
    plugged: Machine, module: str, old: str, new: str
) -> None:
    path = own_pip(plugged) / "_internal" / module
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    done = run_pip(plugged, "download", "app")
    assert done.code == 1, done
    assert _STOPPED in done.err
    assert "not made as the plugin knows it" in done.err
    assert not list(plugged.folder.glob("*.whl"))


def test_a_module_of_pip_that_is_gone(plugged: Machine) -> None:
    (own_pip(plugged) / "_internal" / "cache.py").unlink()
    done = run_pip(plugged, "download", "app")
    assert done.code == 1
    assert "not made as the plugin knows it: pip._internal.cache" in done.err


def test_a_program_that_imports_pip_sees_an_import_error(plugged: Machine) -> None:
    (plugged.site_packages / "_securepip_plugin.py").unlink()
    program = "try:\n    import pip._internal\nexcept ImportError as error:\n    print(error)\n"
    done = run(plugged, plugged.python, "-c", program)
    assert done.code == 0, done.err
    assert _STOPPED in done.out


def test_a_file_of_the_shims_name_in_the_current_folder_is_not_taken(
    plugged: Machine, tmp_path: Path
) -> None:
    (tmp_path / "_securepip_plugin.py").write_text("raise SystemExit('taken')\n")
    done = run(plugged, plugged.python, "-m", "pip", "--version", cwd=tmp_path)
    assert done.code == 0, done.err


def test_nothing_starts_a_gateway_that_fetches_nothing(plugged: Machine) -> None:
    for words in (("--version",), ("list",), ("config", "list"), ("freeze",), ("check",),
                  ("uninstall", "-y", "nothing"), ("install", "--help")):  # fmt: skip
        done = run_pip(plugged, *words)
        assert done.code == 0, done
    assert not (plugged.folder / "data").exists()
