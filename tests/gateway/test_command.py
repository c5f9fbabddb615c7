"""The command ``securepip gateway``: its output, the command inside it, and its end."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests

from securepip.gateway.surroundings import surroundings
from tests.support.machine import Machine
from tests.support.ports import free_port

SHOW = "import json, os; print(json.dumps(dict(os.environ)))"


@contextmanager
def started(client: Machine, *words: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A gateway and the first line that it prints."""
    with client.start("gateway", *words) as process:
        try:
            assert process.stdout is not None
            yield process, process.stdout.readline()
        finally:
            process.kill()


def fetch(url: str) -> bytes:
    answer = requests.get(url, timeout=60)
    answer.raise_for_status()
    return answer.content


def gone(url: str) -> bool:
    try:
        fetch(url)
    except requests.RequestException:  # no server, or another one that has the port now
        return True
    return False


def test_it_says_where_it_is_keeps_that_to_the_user_and_ends_when_told(client: Machine) -> None:
    with started(client) as (process, line):
        where = json.loads(line)
        assert b"lib-1.0" in fetch(f"{where['index_url']}lib/")
        file = Path(where["file"])
        assert json.loads(file.read_text())["url"] == where["url"]
        assert file.stat().st_mode & 0o777 == 0o600
        assert file.parent.stat().st_mode & 0o777 == 0o700
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=60)
        assert (process.returncode, out, err) == (0, "", "")
        assert not file.exists()
        assert gone(where["url"])


def test_each_gateway_has_another_token(client: Machine) -> None:
    with started(client) as (_, one), started(client) as (_, other):
        tokens = [json.loads(line)["url"].split("/")[3] for line in (one, other)]
    assert len(set(tokens)) == 2
    assert all(len(token) >= 43 for token in tokens)


def test_a_command_runs_inside_with_its_own_output_and_exit_code(client: Machine) -> None:
    script = "import os, sys; print(os.environ['PIP_INDEX_URL']); sys.exit(7)"
    done = client.process("gateway", "--", sys.executable, "-c", script)
    assert done.code == 7
    assert done.err == ""
    (line,) = done.out.splitlines()
    assert line.endswith("/simple/")
    assert gone(line)


def test_a_command_that_is_not_there_is_a_wrong_usage(client: Machine) -> None:
    done = client.run("gateway", "--", "no-such-command-anywhere")
    assert done.code == 2
    assert "cannot be run" in done.err


def test_a_command_that_is_killed_ends_as_a_shell_says_it(client: Machine) -> None:
    script = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"
    assert client.process("gateway", "--", sys.executable, "-c", script).code == 137


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_signal_is_passed_on_to_the_command(client: Machine, number: signal.Signals) -> None:
    script = (
        "import signal, sys, time\n"
        f"signal.signal({int(number)}, lambda *_: sys.exit(42))\n"
        "print('ready', flush=True)\n"
        "time.sleep(120)\n"
    )
    with started(client, "--", sys.executable, "-c", script) as (process, line):
        assert line == "ready\n"
        process.send_signal(number)
        assert process.wait(timeout=60) == 42


def test_the_command_asks_the_gateway_and_nobody_else(client: Machine, tmp_path: Path) -> None:
    config = tmp_path / "pip.conf"
    config.write_text(
        "[global]\nextra-index-url = https://user:secret@elsewhere.example.org/simple\n"
        "require-virtualenv = true\nfind-links = https://elsewhere.example.org/links\n  /here\n"
    )
    done = client.process(
        "gateway",
        "--",
        sys.executable,
        "-c",
        SHOW,
        PIP_CONFIG_FILE=str(config),
        PIP_EXTRA_INDEX_URL="https://other.example.org/simple",
        UV_INDEX="https://other.example.org/simple",
        http_proxy="http://proxy.example.org:3128",
        no_proxy="intern.example.org",
    )
    assert done.code == 0, done.err
    seen = json.loads(done.out)
    assert seen["PIP_INDEX_URL"] == seen["UV_DEFAULT_INDEX"] == seen["PDM_PYPI_URL"]
    assert "PIP_EXTRA_INDEX_URL" not in seen
    assert "UV_INDEX" not in seen
    assert seen["PIP_CONFIG_FILE"] == os.devnull
    assert seen["PIP_REQUIRE_VIRTUALENV"] == "true"
    assert seen["PIP_FIND_LINKS"] == "/here"
    # All other connections go there too, also those to this machine. A securepip inside verifies
    # by itself, and gets the user's own proxies.
    gateway = urlsplit(seen["PIP_INDEX_URL"])
    token = gateway.path.split("/")[1]
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "ALL_PROXY"):
        assert seen[name] == f"http://securepip:{token}@{gateway.netloc}"
    assert "no_proxy" not in seen
    assert json.loads(seen["SECUREPIP_OUTSIDE_PROXIES"]) == {
        "http_proxy": "http://proxy.example.org:3128",
        "no_proxy": "intern.example.org",
    }
    assert int(seen["PIP_DEFAULT_TIMEOUT"]) == int(seen["UV_HTTP_TIMEOUT"]) >= 600
    assert "Not passed on" in done.err
    assert "PIP_EXTRA_INDEX_URL" in done.err
    assert "secret" not in done.err + done.out


def test_pip_is_told_what_its_files_say_where_no_variable_says_more() -> None:
    files = {"constraint": "c.txt", "find-links": "/here", "retries": "1", "proxy": "http://p:1"}
    told = surroundings("http://127.0.0.1:1/t/", {"PIP_RETRIES": "2"}, files)
    seen = told.applied({"PIP_RETRIES": "2"})
    assert (seen["PIP_CONSTRAINT"], seen["PIP_FIND_LINKS"]) == ("c.txt", "/here")
    assert (seen["PIP_RETRIES"], seen["PIP_CONFIG_FILE"]) == ("2", os.devnull)
    assert "PIP_PROXY" not in seen
    assert told.left_out == ()


def environment_of(lines: str) -> dict[str, Any]:
    """The environment of a shell that has evaluated these lines."""
    done = subprocess.run(
        ["/bin/sh", "-c", f'eval "$1"; {shlex.quote(sys.executable)} -c "$2"', "sh", lines, SHOW],
        capture_output=True,
        text=True,
        check=True,
        env={"UV_INDEX": "https://other.example.org/simple", "PATH": os.environ["PATH"]},
    )
    return dict(json.loads(done.stdout))


def test_a_shell_is_set_up_for_the_gateway_that_is_running(client: Machine) -> None:
    with started(client) as (_, line):
        url = json.loads(line)["index_url"]
        done = client.process("gateway", "--print-env", UV_INDEX="https://other.example.org/simple")
        assert done.code == 0
        seen = environment_of(done.out)
        assert seen["PIP_INDEX_URL"] == seen["UV_DEFAULT_INDEX"] == url
        assert "UV_INDEX" not in seen


def test_a_shell_is_set_up_for_a_gateway_that_is_started_for_it(client: Machine) -> None:
    with started(client, "--print-env") as (process, line):
        assert line.startswith("export PIP_INDEX_URL=")
        url = environment_of(line)["PIP_INDEX_URL"]
        assert b"lib-1.0" in fetch(f"{url}lib/")
        process.send_signal(signal.SIGTERM)
        assert "start `securepip gateway &` first" in process.communicate(timeout=60)[1]


def test_what_a_killed_gateway_left_behind_is_no_gateway(client: Machine) -> None:
    with started(client) as (process, line):
        left = Path(json.loads(line)["file"])
        process.kill()
        process.wait()
    assert left.exists()
    with started(client, "--print-env") as (_, line):
        assert line.startswith("export PIP_INDEX_URL=")
        assert not left.exists()


def test_a_stable_address_stays_the_same(client: Machine) -> None:
    port = free_port()
    for _ in range(2):
        with started(client, "--stable-url", "--port", str(port)) as (_, line):
            assert json.loads(line)["index_url"] == f"http://127.0.0.1:{port}/simple/"


def test_a_port_that_another_has_is_said(client: Machine) -> None:
    with started(client) as (_, line):
        port = json.loads(line)["url"].split("/")[2].rpartition(":")[2]
        done = client.process("gateway", "--port", port)
    assert done.code == 1
    assert f"cannot listen on 127.0.0.1 port {port}" in done.err
    assert client.run("gateway", "--port", "70000").code == 2


def test_who_trusts_nobody_gets_no_gateway(machine: Machine) -> None:
    done = machine.run("gateway")
    assert done.code == 1
    assert done.out == ""
    assert "trusts no package repository" in done.err


def test_only_the_repository_that_is_named_answers(client: Machine) -> None:
    assert client.run("gateway", "--repository", "nobody").code == 2
    with started(client, "--repository", "made") as (_, line):
        assert b"lib-1.0" in fetch(f"{json.loads(line)['index_url']}lib/")


def test_a_client_that_waits_does_not_keep_the_gateway_from_ending(client: Machine) -> None:
    with started(client) as (process, line):
        url = json.loads(line)["url"]
        with requests.Session() as kept_open:
            kept_open.get(url, timeout=60)
            process.send_signal(signal.SIGINT)
            assert process.wait(timeout=60) == 0


def test_help_does_not_import_the_server() -> None:
    script = (
        "import sys\nfrom securepip.cli import main\n"
        "try:\n    main(['gateway', '--help'])\nexcept SystemExit:\n    pass\n"
        "assert not {'uvicorn', 'starlette', 'tuf'} & set(sys.modules), sorted(sys.modules)\n"
    )
    sources = str(Path(__file__).parents[2] / "src")
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "PYTHONPATH": sources},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "--print-env" in done.stdout
