"""With the plugin, pip does the same as without it, with verified files."""

from __future__ import annotations

import difflib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from securepip.formats.pip_configuration import default_index
from securepip.plugin.shim.gateway import Gateway
from securepip.plugin.shim.hint import will_fetch
from tests.plugin.conftest import assert_refused, run_pip
from tests.support.builds import MAKER_CODE, make_maker
from tests.support.hostile import HostileServer, flip_byte
from tests.support.machine import Machine
from tests.support.wheels import make_wheel

_LIST = "app[more]>=1  # a comment\nother==1.0\nbuilt\n"


def packages(machine: Machine) -> dict[str, bytes]:
    """The installed files, without those that differ between machines or runs."""
    kept = {}
    for path, data in machine.installed().items():
        if "/pip" in path or "securepip" in path or "__pycache__" in path or "/RECORD" in path:
            continue
        kept[path] = data
    return kept


def normal(machine: Machine, said: str) -> list[str]:
    """Pip's output, without temporary folders and digests of built wheels."""
    said = said.replace(str(machine.folder), "")
    said = re.sub(r"sha256=[0-9a-f]{64}", "sha256=…", said)
    return re.sub(r"(?<=Stored in directory: )\S*", "…", said).splitlines()


def wait_until(happened: Callable[[], bool]) -> None:
    """Wait for something to happen, for a limited time."""
    deadline = time.monotonic() + 60
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_list_is_installed_as_without_the_plugin_and_in_the_same_words(
    plain: Machine, trusting_built: Machine, served: HostileServer
) -> None:
    for machine in (plain, trusting_built):
        (machine.folder / "requirements.txt").write_text(_LIST)
        (machine.folder / "constraints.txt").write_text("app<3\n")
    words = ("install", "-r", "requirements.txt", "-c", "constraints.txt", "--index-url",
             f"{served.url}simple/")  # fmt: skip
    # pip also looks for a newer pip, which this index does not have.
    look = {"PIP_DISABLE_PIP_VERSION_CHECK": "0"}
    without, verified = run_pip(plain, *words, **look), run_pip(trusting_built, *words, **look)
    assert without.code == verified.code == 0, verified.err
    changes = [
        line
        for line in difflib.ndiff(
            normal(plain, without.out + without.err),
            normal(trusting_built, verified.out + verified.err),
        )
        if line.startswith(("+ ", "- "))
    ]
    assert len(changes) <= 2, changes  # a different line is one missing and one further line
    assert packages(trusting_built) == packages(plain)
    assert trusting_built.version_of("built") == "1.0"


@pytest.mark.parametrize("named", [True, False])
def test_pips_own_index_stands_for_all_that_is_trusted(
    trusting: Machine, tmp_path: Path, named: bool
) -> None:
    wanted = tmp_path / "wanted.txt"
    wanted.write_text(f"--index-url {default_index()}\napp\n")
    done = run_pip(trusting, "install", *(("-r", wanted) if named else ("app",)))
    assert done.code == 0, done.err
    assert trusting.version_of("app") == "2.0"


@pytest.mark.parametrize(
    "pattern",
    [
        r"metadata/timestamp\.json",
        r"metadata/.*\.bin-.*\.json",
        r"simple/built/.*",
        r"packages/app/.*2\.0.*\.metadata",
        r"packages/lib/.*\.whl",
        r"packages/built/.*\.tar\.gz",
        r"simple/maker/.*",
        r"packages/maker/.*\.whl",
    ],
)
def test_one_changed_answer_and_pip_installs_nothing(
    trusting_built: Machine, served: HostileServer, pattern: str
) -> None:
    before = trusting_built.installed()
    served.alter(pattern, flip_byte)
    done = run_pip(trusting_built, "install", "app", "built")
    assert_refused(done)
    # Another process installs build requirements, and pip repeats its output on both streams.
    assert re.search(f"{served.url}{pattern}", done.out + done.err), done
    assert trusting_built.installed() == before


def test_a_forged_build_requirement_runs_with_plain_pip_and_not_with_the_plugin(
    plain: Machine, trusting_built: Machine, served: HostileServer, tmp_path: Path
) -> None:
    ran = tmp_path / "ran"
    code = f"open({json.dumps(str(ran))}, 'w').close()\n{MAKER_CODE}"
    evil = make_maker(tmp_path / "evil", code=code).read_bytes()
    name = "maker-1.0-py3-none-any.whl"
    served.forge("maker", name, evil)
    assert run_pip(plain, "install", "built", "-i", f"{served.url}simple/").code == 0
    assert ran.exists()
    ran.unlink()
    assert_refused(run_pip(trusting_built, "install", "built", "-i", f"{served.url}simple/"))
    assert not ran.exists()
    assert trusting_built.version_of("built") is None


def test_download_wheel_lock_and_index_versions_are_verified_too(
    trusting_built: Machine, served: HostileServer, tmp_path: Path
) -> None:
    place = tmp_path / "place"
    assert run_pip(trusting_built, "download", "app", "-d", place).code == 0
    assert run_pip(trusting_built, "wheel", "built", "-w", place).code == 0
    assert sorted(path.name for path in place.iterdir()) == [
        "app-2.0-py3-none-any.whl",
        "built-1.0-py3-none-any.whl",
        "lib-1.0-py3-none-any.whl",
    ]
    assert run_pip(trusting_built, "lock", "app", "-o", place / "pylock.toml").code == 0
    assert f"{served.url}packages/lib/" in (place / "pylock.toml").read_text()
    assert "Available versions: 2.0, 1.0" in run_pip(trusting_built, "index", "versions", "app").out
    served.alter(r"simple/app/.*", flip_byte)
    shutil.rmtree(trusting_built.folder / "cache")
    assert_refused(run_pip(trusting_built, "index", "versions", "app"), f"{served.url}simple/app/")


def test_a_wheel_that_was_built_before_is_not_taken_from_pips_cache(
    plain: Machine, trusting_built: Machine, served: HostileServer, tmp_path: Path
) -> None:
    cache = tmp_path / "pip-cache"
    words = ("install", "built", "-i", f"{served.url}simple/", "--cache-dir", cache)
    assert run_pip(plain, *words).code == 0
    (built,) = (cache / "wheels").rglob("built-*.whl")
    shutil.copy(make_wheel(tmp_path / "evil", "built", "1.0", files={"evil.py": ""}), built)
    plain.remove("built")
    assert run_pip(plain, *words).code == 0
    assert (plain.site_packages / "evil.py").exists()
    assert run_pip(trusting_built, *words).code == 0
    assert not (trusting_built.site_packages / "evil.py").exists()
    # A wheel that was built from verified files is cached and used again.
    trusting_built.remove("built")
    assert "Using cached built-1.0" in run_pip(trusting_built, *words).out


def test_what_pip_is_told_of_the_network_holds_for_the_gateway(trusting: Machine) -> None:
    words = ("install", "app", "--proxy", "http://user:secret@127.0.0.1:9", "--retries", "0")
    done = run_pip(trusting, *words)
    assert_refused(done, "Unable to connect to proxy")
    assert "secret" not in done.err


def test_what_was_fetched_before_is_said_to_be_cached_where_pip_would_have_a_cache(
    trusting: Machine, hostile: HostileServer
) -> None:
    words = ("download", "lib", "-d", "place", "--trusted-host", "127.0.0.1", "-i",
             f"{hostile.url}simple/")  # fmt: skip
    assert "Downloading" in run_pip(trusting, *words).out
    shutil.rmtree(trusting.folder / "place")
    done = run_pip(trusting, *words)
    assert "Downloading" not in done.out
    assert "Using cached lib-1.0-py3-none-any.whl (" in done.out


def test_without_a_cache_nothing_is_kept(trusting: Machine) -> None:
    assert run_pip(trusting, "install", "app", "--no-cache-dir").code == 0
    assert not (trusting.folder / "cache").exists()


def test_one_gateway_serves_pip_and_what_it_starts_and_ends_with_it(
    trusting_built: Machine, served: HostileServer
) -> None:
    served.seen.clear()
    assert run_pip(trusting_built, "install", "built").code == 0
    # Each gateway fetches the timestamp once.
    assert served.seen.count("metadata/timestamp.json") == 1
    wait_until(lambda: not any((trusting_built.folder / "data" / "plugin").iterdir()))


@pytest.mark.parametrize(
    ("words", "loads"),
    [
        (["install", "app"], True),
        (["-q", "download", "app"], True),
        (["install", "-U", "pip"], True),
        (["install", "-r", "requirements.txt"], True),
        (["install", "pip>1"], False),
        (["list"], False),
        (["--python", "there", "install", "app"], False),
    ],
)
def test_the_gateway_loads_while_pip_does_where_the_command_fetches(
    words: list[str], loads: bool, tmp_path: Path
) -> None:
    started = tmp_path / "started"
    program = "import sys; open(sys.argv[1], 'w').close(); sys.stdin.read()"
    gateway = Gateway([sys.executable, "-S", "-c", program, str(started)])
    if will_fetch(words):
        gateway.begin()
    # The gateway does nothing else yet: its port is known before its first request.
    assert gateway.port is None
    if loads:
        wait_until(started.exists)
    else:
        time.sleep(0.2)
        assert not started.exists()


def test_a_gateway_that_is_gone_is_not_relied_on(trusting: Machine, tmp_path: Path) -> None:
    stale = tmp_path / "stale"
    stale.write_text('{"url": "http://127.0.0.1:9/token/"}')
    stale.chmod(0o600)
    done = run_pip(trusting, "install", "app", SECUREPIP_PLUGIN_GATEWAY=str(stale))
    assert done.code == 0, done.err


def test_a_gateway_file_that_others_may_read_is_not_believed(
    trusting: Machine, hostile: HostileServer, tmp_path: Path
) -> None:
    planted = tmp_path / "planted"
    planted.write_text(json.dumps({"url": hostile.url, "pid": os.getpid()}))
    planted.chmod(0o644)
    done = run_pip(trusting, "install", "app", SECUREPIP_PLUGIN_GATEWAY=str(planted))
    assert done.code == 0, done.err
    assert not [path for path in hostile.seen if "by-url" in path]


def test_a_project_that_nobody_signs_is_not_found_as_pip_says_it(trusting: Machine) -> None:
    done = run_pip(trusting, "install", "nosuch")
    assert done.code == 1
    assert "No matching distribution found for nosuch" in done.err


def test_pip_of_another_environment_is_held_to_it_by_python(
    plain: Machine, trusting: Machine, hostile: HostileServer
) -> None:
    words = ("--python", trusting.python, "install", "app")
    variables = {name: value for name, value in trusting.variables.items() if "SECUREPIP" in name}
    done = run_pip(plain, *words, **variables)
    assert done.code == 0, done.err
    assert trusting.version_of("app") == "2.0"
    shutil.rmtree(trusting.folder / "cache")
    hostile.alter(r"packages/lib/.*\.whl", flip_byte)
    done = run_pip(plain, *words, "--force-reinstall", **variables)
    assert_refused(done, f"{hostile.url}packages/lib/")


def test_securepip_installs_into_an_enabled_environment(trusting: Machine) -> None:
    done = trusting.install("app")
    assert done.code == 0, done.err
    assert trusting.version_of("app") == "2.0"


def test_inside_a_gateway_that_the_user_runs_pip_takes_its_index(trusting: Machine) -> None:
    done = trusting.process("gateway", "--", trusting.python, "-m", "pip", "install", "app")
    assert done.code == 0, done.err
    assert trusting.version_of("app") == "2.0"


def test_an_interrupted_pip_leaves_no_gateway(
    trusting_built: Machine, served: HostileServer
) -> None:
    asked, ended = threading.Event(), threading.Event()

    def hold(data: bytes) -> bytes:
        asked.set()
        ended.wait(60)
        return data

    served.alter("(simple|packages)/.*", hold)  # which pip fetches after its start
    with subprocess.Popen(
        [trusting_built.python, "-m", "pip", "install", "app", "built"],
        env={**trusting_built.variables},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        # A shell makes its background jobs ignore interrupts, and so perhaps the tests.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as process:
        gateways = trusting_built.folder / "data" / "plugin"
        assert asked.wait(60)
        assert any(gateways.iterdir())
        process.send_signal(signal.SIGINT)
        assert "Operation cancelled by user" in process.communicate(timeout=60)[1]
    ended.set()
    wait_until(lambda: not any(gateways.iterdir()))
    assert trusting_built.version_of("app") is None
