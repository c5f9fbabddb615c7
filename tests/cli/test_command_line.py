"""The usage, exit codes, errors and imports of all commands."""

from __future__ import annotations

import argparse
import atexit
import gc
import importlib
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from unittest import mock

import pytest

from securepip.cli.main import _all_parsers, main, whole_parser
from tests.support.hostile import HostileServer, flip_byte
from tests.support.machine import Machine
from tests.support.repositories import make_repository
from tests.support.terminal import run_in_terminal

COMMANDS = [
    ["install"],
    ["trust"],
    *(["trust", verb] for verb in ("add", "list", "show", "remove", "refresh")),
    ["repo"],
    *(
        ["repo", verb]
        for verb in ("init", "add", "sync", "accept-change", "remove", "refresh", "status", "serve")
    ),
]


@pytest.mark.parametrize(
    "words",
    [
        ["nonsense"],
        ["install", "--nonsense"],
        ["install", "--timeout", "soon", "app"],
        ["install", "--no-b", "app"],
        ["download", "--platform"],
        ["trust"],
        ["trust", "add", "NAME"],
        ["gateway", "--port=--"],
        ["repo", "add", "--keys=--", "here", "file"],
        ["trust", "add", "name", "ftp://packages.example.org/", "--root", "x"],
        ["trust", "add", "name", "/", "--root", "x", "--root-sha256", "y"],
        ["repo"],
        ["repo", "add"],
        ["repo", "init", "new", "--expected-files", "0"],
        ["repo", "init", "new", "--expiry", "timestamp"],
        ["repo", "sync", "new", "--min-age", "soon"],
    ],
)
def test_usage_errors_exit_with_2(machine: Machine, words: list[str], tmp_path: Path) -> None:
    done = machine.run(*(str(tmp_path / word) if word == "new" else word for word in words))
    assert done.code == 2, done
    assert "error" in done.err.lower()
    assert "Traceback" not in done.err


@pytest.mark.parametrize(
    "words",
    [
        ["not a requirement"],
        ["-r", "no-such-file.txt"],
        ["./folder/app-1.0-py3-none-any.whl"],
        ["app @ https://packages.example.org/app-1.0-py3-none-any.whl"],
        ["--pre", "--only-final=x", "x"],
        ["--only-deps", "--no-deps", "x"],
        ["--platform", "x", "x"],
        ["--user", "--target=x", "x"],
    ],
)
def test_what_pip_refuses_with_1_is_refused_with_1(machine: Machine, words: list[str]) -> None:
    done = machine.install(*words)
    assert done.code == 1, done
    assert "ERROR: " in done.err
    assert "Traceback" not in done.err


@pytest.mark.parametrize(
    ("command", "says"),
    [("uninstall", "`pip uninstall …`.\n"), ("wheel", "after `securepip plugin enable`")],
)
def test_what_is_left_to_pip_says_so(machine: Machine, command: str, says: str) -> None:
    done = machine.run(command, "app")
    assert done.code == 2
    assert f"no command '{command}'" in done.err
    assert says in done.err


def test_nothing_to_install_fails_as_pip_fails(machine: Machine) -> None:
    done = machine.install()
    assert done.code == 1
    assert done.err == (
        "ERROR: You must give at least one requirement to install "
        '(see "securepip install --help")\n'
    )


def test_every_number_that_is_asked_for_has_its_bounds() -> None:
    """Of the options of all commands that ask for a number, none takes what is none."""
    asked = [
        (parser, action)
        for parser in _all_parsers(whole_parser())
        for action in parser._actions
        if action.metavar in ("N", "DAYS", "MB", "S", "SECONDS") or action.dest == "port"
    ]
    assert len(asked) > 20
    for parser, action in asked:
        for text in ("-1", "nan", "inf", "1e999", "9" * 30, "soon", ""):
            with pytest.raises(argparse.ArgumentError):
                parser._get_values(action, [text])


@pytest.mark.parametrize(
    "words", ["--help", "install --help", "install app --no-index", "trust list", "completion bash"]
)
def test_a_closed_standard_output_is_one_to_which_nobody_listens(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, words: str
) -> None:
    closed = ("stdin", "stdout", "stderr")
    with monkeypatch.context() as here, mock.patch.dict(os.environ, machine.variables):
        for name in closed:
            here.setattr(sys, name, None)
        try:
            code = main(words.split())
        except SystemExit as ended:
            code = int(ended.code or 0)
        for name in closed:
            os.close(getattr(sys, name).fileno())
    assert code == (1 if "app" in words else 0)


def test_no_file_gets_the_number_of_a_closed_standard_stream(machine: Machine) -> None:
    code = (
        "import os\n"
        "from securepip.cli import main\n"
        "code = main(['trust', 'list'])\n"
        "nowhere = os.stat(os.devnull)\n"
        "same = all(os.path.samestat(os.fstat(number), nowhere) for number in range(3))\n"
        "os._exit(code if same else 9)\n"
    )
    shell = 'exec "$0" -c "$1" <&- >&- 2>&-'
    done = subprocess.run(
        ["/bin/sh", "-c", shell, sys.executable, code],
        env={**machine.variables, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert done.returncode == 0


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_explains_itself(machine: Machine, command: Sequence[str]) -> None:
    done = machine.run(*command, "--help")
    assert done.code == 0
    assert f"usage: securepip {' '.join(command)}" in " ".join(done.out.lower().split())


def test_without_a_word_all_commands_are_shown(machine: Machine) -> None:
    assert machine.run() == machine.run("help") == machine.run("--help")
    assert machine.run("help", "install") == machine.run("install", "--help")


def test_tracebacks_are_for_those_who_ask(client: Machine, hostile: HostileServer) -> None:
    hostile.alter("metadata/timestamp.json", flip_byte)
    plain = client.process("install", "--python", client.environment, "app")
    assert plain.code == 3
    assert "Traceback" not in plain.err
    debug = client.process("install", "--debug", "--python", client.environment, "app")
    assert debug.code == 3
    assert "Traceback" in debug.err
    assert "VerificationError" in debug.err


def test_output_to_a_file_has_no_colours_and_quiet_says_less(
    client: Machine, hostile: HostileServer
) -> None:
    loud = client.install("--dry-run", "--verbose", "app")
    assert "\033" not in loud.out + loud.err
    assert client.install("--dry-run", "--quiet", "app").out == ""
    hostile.alter("metadata/timestamp.json", flip_byte)
    failed = client.install("-qqq", "-U", "app")
    assert failed.code == 3
    assert failed.err.startswith("ERROR: ")
    assert "\033" not in failed.err


def test_no_color_is_honoured_on_a_terminal(machine: Machine) -> None:
    words = ("trust", "show", "nobody")
    coloured = run_in_terminal(machine, *words)
    plain = run_in_terminal(machine, *words, NO_COLOR="1")
    told = run_in_terminal(machine, *words, "--no-color")
    assert coloured.code and plain.code and told.code
    assert "\033[31mERROR:\033[0m" in coloured.out
    assert "\033" not in plain.out + told.out


def modules_of(machine: Machine, *words: str | Path, whole: bool = False) -> set[str]:
    """The modules that a command line has imported when it ends: the top ones, or all."""
    code = (
        "import sys\nfrom securepip.cli import main\n"
        "try: main()\nexcept SystemExit: pass\n"
        "print(*sorted(sys.modules), file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, words)],
        env={**machine.variables, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
    )
    names = done.stderr.split()
    return set(names) if whole else {name.partition(".")[0] for name in names}


HEAVY = {"tuf", "requests", "rich", "resolvelib", "cryptography", "securesystemslib", "urllib3"}


@pytest.mark.parametrize("words", [("--help",), ("install", "--help"), ("repo", "sync", "--help")])
def test_help_imports_nothing_heavy(machine: Machine, words: tuple[str, ...]) -> None:
    assert not modules_of(machine, *words) & HEAVY


def test_looking_at_a_repository_imports_nothing_that_fetches_or_recovers(
    machine: Machine, tmp_path: Path
) -> None:
    folder = make_repository(tmp_path / "repository").folder
    imported = modules_of(machine, "repo", "status", folder, whole=True)
    assert "securepip.signing.publish.status" in imported
    assert not imported & {"requests", "urllib3", "securepip.signing.offline.recover"}


def test_install_has_imported_only_its_own_modules_when_it_has_read_its_command_line(
    machine: Machine,
) -> None:
    code = (
        "import sys; before = set(sys.modules)\n"
        "from securepip.cli.main import parse; parse(sys.argv[1:])\n"
        "print(*sorted(set(sys.modules) - before))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "install", "--upgrade", "app", "-r", "requirements.txt"],
        env={**machine.variables, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
    )
    imported = set(done.stdout.split())
    assert {name for name in imported if name.startswith("securepip")} == {
        "securepip",
        "securepip.cli",
        "securepip.cli.console",
        "securepip.cli.console.lines",
        "securepip.cli.main",
        "securepip.cli.options",
        "securepip.cli.parser",
        "securepip.cli.pip_commands",
        "securepip.cli.pip_commands.options",
        "securepip.cli.pip_commands.options.table",
        "securepip.cli.pip_commands.options.types",
        "securepip.cli.pip_commands.options.variables",
        "securepip.cli.pip_commands.parser",
        "securepip.cli.pip_commands.requests",
        "securepip.errors",
        "securepip.formats",
        "securepip.formats.pip_configuration",
        "securepip.redaction",
    }
    others = {name.partition(".")[0] for name in imported} - {"securepip", "platformdirs"}
    assert others <= sys.stdlib_module_names
    assert not others & {"asyncio", "email", "http", "json", "socket", "ssl", "subprocess"}


def test_an_install_with_nothing_to_do_imports_no_more_than_it_takes_to_see_that(
    client: Machine,
) -> None:
    assert client.install("app").code == 0
    words = ("install", "--python", client.environment, "app", "lib>=1")
    loaded = modules_of(client, *words, whole=True)
    tops = {name.partition(".")[0] for name in loaded}
    assert not tops & (HEAVY | {"filelock", "http", "ssl", "tomllib"})
    assert not loaded & {"packaging.metadata", "packaging.dependency_groups"}
    rooms = {name.split(".")[1] for name in loaded if name.startswith("securepip.")}
    assert not rooms & {"first_use", "installer", "transport", "trust", "updater"}
    assert "securepip.resolver.search.solve" not in loaded
    upgrading = modules_of(client, *words, "-U", whole=True)
    assert "tuf.api.metadata" in upgrading
    search = {"resolvelib", "packaging.metadata", "securepip.resolver.search.solve"}
    assert not upgrading & search


def test_install_imports_only_what_it_needs_and_not_before_it_needs_it(client: Machine) -> None:
    code = (
        "import atexit, sys\n"
        "seen = set()\n"
        "def say(moment):\n"
        "    if moment not in seen:\n"
        "        seen.add(moment)\n"
        "        print(moment, *sorted(sys.modules), file=sys.stderr)\n"
        "sys.addaudithook(lambda event, _: event in MOMENTS and say(event))\n"
        "atexit.register(say, 'end')\n"
        "import threading; start = threading.Thread.start\n"
        "def started(thread):\n"
        "    say(thread.name)\n"
        "    start(thread)\n"
        "threading.Thread.start = started\n"
        "from securepip.cli import main\n"
        "sys.exit(main())"
    ).replace("MOMENTS", "('subprocess.Popen', 'socket.connect')")
    done = subprocess.run(
        [sys.executable, "-c", code, "install", "--python", client.environment, "app"],
        env={**client.variables, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
    )
    lines = (line.split() for line in done.stderr.splitlines())
    loaded = {line[0]: set(line[1:]) for line in lines if line}
    # The target's interpreter starts before anything else is imported.
    started = {name.partition(".")[0] for name in loaded["subprocess.Popen"]}
    assert not started & (HEAVY | {"filelock", "email", "http", "ssl"})
    # What verifies is imported while the first questions are under way.
    asking = {name.partition(".")[0] for name in loaded["transport"]}
    assert not asking & {"tuf", "cryptography", "securesystemslib", "resolvelib", "rich"}
    # Then the first question is asked, and until the end there is nothing of another command's.
    # `rich` would be for a terminal.
    for moment in ("socket.connect", "end"):
        tops = {name.partition(".")[0] for name in loaded[moment]}
        assert not tops & {"asyncio", "rich", "starlette", "uvicorn", "pyproject_hooks", "tomli_w"}
        assert not tops & {"chardet", "charset_normalizer"}
        rooms = {name.split(".")[1] for name in loaded[moment] if name.startswith("securepip.")}
        assert not rooms & {"gateway", "lock", "plugin", "signing"}
        # What builds, and what reads pages of links and settings of projects.
        builds = {"securepip.installer.build.backend", "securepip.installer.build.source"}
        assert not loaded[moment] & {"html", "packaging.metadata", "tomllib", *builds}


@pytest.mark.parametrize(
    ("words", "hint", "usage"),
    [
        (("instal", "app"), 'maybe you meant "install"', "usage: securepip install [options] <"),
        (("verfy",), 'maybe you meant "verify"', "usage: securepip verify [options] [PROJECT ...]"),
        (("trust", "lst"), 'maybe you meant "list"', "usage: securepip trust list [options]"),
        (("trust", "list", "--jsn"), "maybe you meant --json", "usage: securepip trust list"),
        (("install", "--upgade", "app"), "maybe you meant --upgrade", "Usage: securepip install"),
        (("trust",), "error: no COMMAND is named", "accept a change that first use has refused"),
        (("zzzz",), 'unknown command "zzzz". See `securepip --help`', "usage: securepip"),
    ],
)
def test_a_mistyped_word_is_answered_with_the_one_that_was_meant(
    machine: Machine, words: tuple[str, ...], hint: str, usage: str
) -> None:
    done = machine.run(*words)
    assert done.code == 2
    assert hint in done.err
    assert usage in done.err


@pytest.mark.parametrize(
    ("line", "looks"),
    [
        ("install app", False),
        ("repo sync there", False),
        ("gateway", True),
        ("gateway --port 1", True),
        ("repo serve there", True),
        ("repo worker there", True),
    ],
)
def test_a_command_that_runs_on_looks_for_garbage_as_python_does(
    monkeypatch: pytest.MonkeyPatch, line: str, looks: bool
) -> None:
    """Else each state of a repository that was replaced stays in memory for days."""
    module = importlib.import_module("securepip.cli.main")
    thresholds: list[tuple[int, ...]] = []
    monkeypatch.setattr(gc, "set_threshold", lambda *numbers: thresholds.append(numbers))
    monkeypatch.setattr(sys, "argv", ["securepip", *line.split()])
    monkeypatch.setattr(module, "main", lambda: 0)
    monkeypatch.setattr(atexit, "_run_exitfuncs", lambda: None)
    monkeypatch.setattr(os, "_exit", sys.exit)
    with pytest.raises(SystemExit):
        module.program()
    assert not thresholds if looks else thresholds
