"""``plugin enable``, ``disable`` and ``status``."""

from __future__ import annotations

import errno
import fcntl
import os
import sys
from pathlib import Path

import pytest

from tests.plugin.conftest import OLD_PIPS, assert_refused, own_pip, put_pip, run, run_pip
from tests.support.hostile import HostileServer, flip_byte
from tests.support.machine import Machine
from tests.support.repositories import MadeRepository


def test_disabled_again_the_environment_is_as_it_was(plain: Machine) -> None:
    before = plain.installed()
    assert "not enabled" in plain.run("plugin", "status", "--python", plain.environment).out
    enabled = plain.run("plugin", "enable", "--python", plain.environment)
    assert enabled.code == 0, enabled.err
    added = plain.installed().keys() - before.keys()
    assert {Path(path).name for path in added} == {
        "securepip-plugin.pth",
        "securepip-plugin-start.start",
        "_securepip_plugin.py",
        "_securepip_plugin_start.py",
    }
    # The plugin is not a distribution.
    assert "securepip" not in run_pip(plain, "list").out
    # As a Python that runs the `.start` file.
    run(plain, plain.python, "-c", "import _securepip_plugin_start")
    disabled = plain.run("plugin", "disable", "--python", plain.environment)
    assert disabled.code == 0
    assert "is as it was" in disabled.out
    after = {path: data for path, data in plain.installed().items() if path in before}
    assert plain.installed().keys() == before.keys()
    assert after == before
    assert "was not enabled" in plain.run("plugin", "disable", "--python", plain.environment).out


def test_status_tries_it_and_names_what_it_cannot_do(plugged: Machine) -> None:
    done = plugged.run("plugin", "status", "--python", plugged.environment)
    assert done.code == 0, done.err
    assert "installs what is verified" in done.out
    assert not done.err
    for limit in ("-S", "minor version", "ensurepip", "uv"):
        assert limit in done.out


def test_status_says_that_the_switch_is_thrown(plugged: Machine) -> None:
    switch = {"SECUREPIP_UNSAFELY_DISABLE_PACKAGE_VERIFICATION": "1"}
    done = plugged.run("plugin", "status", "--python", plugged.environment, **switch)
    assert "while it is, pip verifies nothing" in done.err


def test_status_notices_what_does_not_work(plugged: Machine) -> None:
    (plugged.site_packages / "_securepip_plugin.py").unlink()
    done = plugged.run("plugin", "status", "--python", plugged.environment)
    assert done.code == 1
    assert "_securepip_plugin.py is missing" in done.err
    # Python skips a line that it cannot run: nothing would be verified.
    (plugged.site_packages / "securepip-plugin.pth").write_text("import sys; (")
    done = plugged.run("plugin", "status", "--python", plugged.environment)
    assert done.code == 1
    assert "pip asked an address that nobody signs for" in done.err


def test_an_environment_without_pip_is_refused_politely(
    tmp_path: Path, empty_environment: Path
) -> None:
    machine = Machine(tmp_path, empty_environment)
    before = machine.installed()
    done = machine.run("plugin", "enable", "--python", machine.environment)
    assert done.code == 2
    assert "there is no pip" in done.err
    assert machine.installed() == before


def test_an_old_pip_is_refused_politely(plain: Machine) -> None:
    (dist_info,) = plain.site_packages.glob("pip-*.dist-info")
    metadata = (dist_info / "METADATA").read_text()
    dist_info.unlink()
    older = plain.site_packages / "pip-22.3.dist-info"
    older.mkdir()
    (older / "METADATA").write_text(metadata)
    done = plain.run("plugin", "enable", "--python", plain.environment)
    assert done.code == 2
    assert "needs pip 23.0 or later" in done.err


def test_a_pip_that_does_not_fit_is_left_as_it_was(plain: Machine) -> None:
    session = own_pip(plain) / "_internal" / "network" / "session.py"
    session.write_text(session.read_text().replace("class PipSession(", "class Another("))
    before = {path for path in plain.installed() if "__pycache__" not in path}
    done = plain.run("plugin", "enable", "--python", plain.environment)
    assert done.code == 1
    assert "has been removed again" in done.err
    assert "not made as the plugin knows it" in done.err
    assert {path for path in plain.installed() if "__pycache__" not in path} == before


def test_an_environment_that_may_not_be_written_to_is_named(plain: Machine) -> None:
    (plain.site_packages / "_securepip_plugin.py").mkdir()
    done = plain.run("plugin", "enable", "--python", plain.environment)
    assert done.code == 2
    assert f"{plain.site_packages} cannot be changed" in done.err
    assert not (plain.site_packages / "securepip-plugin.pth").exists()


def test_where_nothing_can_be_locked_no_environment_is_called_the_reason(
    plain: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))  # the error of a network file system

    monkeypatch.setattr(fcntl, "flock", refused)
    done = plain.run("plugin", "enable", "--python", plain.environment)
    assert done.code == 1
    assert "a file cannot be locked" in done.err
    assert "on a disk of this machine" in done.err
    assert not (plain.site_packages / "securepip-plugin.pth").exists()


def test_the_start_file_does_what_the_line_does(plugged: Machine) -> None:
    # Only Python 3.15 and newer reads it; this test does the same by hand.
    (plugged.site_packages / "securepip-plugin.pth").unlink()
    entry = (plugged.site_packages / "securepip-plugin-start.start").read_text().strip()
    module, _, function = entry.partition(":")
    (plugged.site_packages / "sitecustomize.py").write_text(
        f"import {module}\n{module}.{function}()\n{module}.{function}()\n"
    )
    (plugged.site_packages / "_securepip_plugin.py").unlink()
    done = run_pip(plugged, "--version")
    assert done.code == 1
    assert "_securepip_plugin.py is missing" in done.err


def test_the_console_script_of_pip_is_held_to_it_too(plugged: Machine) -> None:
    script = plugged.environment / "bin" / "pip"
    script.write_text(
        f"#!{plugged.python}\nimport sys\nfrom pip._internal.cli.main import main\n"
        "sys.exit(main())\n"
    )
    script.chmod(0o755)
    assert run(plugged, script, "--version").code == 0
    (plugged.site_packages / "_securepip_plugin.py").unlink()
    done = run(plugged, script, "--version")
    assert done.code == 1
    assert done.err.startswith("ERROR: pip is stopped by securepip's plugin")


# The oldest one, and one of each year since. For 2026, it is securepip's own pip.
@pytest.mark.registry
@pytest.mark.parametrize("version", OLD_PIPS)
def test_pips_of_each_year(
    version: str,
    tmp_path: Path,
    empty_environment: Path,
    pip_of: dict[str, Path],
    made: MadeRepository,
    served: HostileServer,
) -> None:
    if sys.version_info >= (3, 12) and version == "23.0":
        pytest.skip("pip 23.0 does not run on this Python")
    machine = Machine(tmp_path, empty_environment)
    put_pip(machine.environment, sorted(pip_of[version].iterdir()))
    machine.trust(made, served.url)
    enabled = machine.run("plugin", "enable", "--python", machine.environment)
    assert enabled.code == 0, enabled.err
    assert f"pip {version} " in enabled.out
    served.alter(r"packages/maker/.*\.whl", flip_byte)
    refused = run_pip(machine, "install", "app", "built")
    assert_refused(refused)
    assert f"{served.url}packages/maker/" in refused.out + refused.err
    served.honest()
    done = run_pip(machine, "install", "app", "built")
    assert done.code == 0, done.err
    assert machine.version_of("lib") == machine.version_of("built") == "1.0"
