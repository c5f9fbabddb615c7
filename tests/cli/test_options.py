"""Each option of pip's is known, with its names, arity and default, and is documented."""

from __future__ import annotations

import optparse
from collections.abc import Iterator
from pathlib import Path

import pytest
from pip._internal.commands import create_command

from securepip.cli.pip_commands import parser as pip_parser
from securepip.cli.pip_commands.options import COMMANDS, Group, Handler, Option
from securepip.errors import UsageError

pytestmark = pytest.mark.usefixtures("no_configuration")
DOCUMENT = Path(__file__).parents[2] / "docs" / "reference" / "options.md"
OWN = "Verification Options"
BOTH = pytest.mark.parametrize("command", sorted(COMMANDS))


def options_of(command: str) -> Iterator[Option]:
    for group in COMMANDS[command]:
        if group.title != OWN:
            yield from group.options


def pips(command: str) -> list[tuple[str, optparse.Option, object]]:
    """The options of the installed pip: the title of the group, the option, and its default."""
    parser = create_command(command).parser
    return [
        (group.title, option, parser.defaults.get(option.dest or ""))
        for group in parser.option_groups
        for option in group.option_list
    ]


def parse(command: str, *words: str) -> dict[str, object]:
    return vars(pip_parser.parse(command, words))


@BOTH
def test_the_options_are_those_of_the_pip_that_is_installed(command: str) -> None:
    theirs = {(*option._short_opts, *option._long_opts) for _, option, _ in pips(command)}
    assert {option.names for option in options_of(command)} == theirs


@BOTH
def test_each_option_takes_what_it_takes_in_pip(command: str) -> None:
    ours = {option.names[-1]: option for option in options_of(command)}
    for _, theirs, _ in pips(command):
        option = ours[theirs._long_opts[-1]]
        assert option.dest == theirs.dest
        takes_value = option.action not in ("store_true", "store_false", "count", "help")
        assert (takes_value and option.action != "no_cache_dir") == theirs.takes_value()
        assert option.choices == tuple(theirs.choices or ())
        assert bool(option.help) == (theirs.help != optparse.SUPPRESS_HELP)
        repeats = theirs.action == "append"
        assert (option.action == "append") == repeats


@BOTH
def test_each_default_is_pips(command: str) -> None:
    known = {"src_dir", "cache_dir", "index_url"}  # of this machine, or meant another way here
    ours = {option.dest: option.default for option in options_of(command)}
    for _, theirs, default in pips(command):
        dest = theirs.dest or ""
        if dest not in known and theirs.action != "help":
            empty = not default or dest in ("format_control", "release_control")
            assert (ours[dest] or None) == (None if empty else default), dest


@BOTH
def test_the_options_stand_under_pips_headings(command: str) -> None:
    theirs: dict[str, set[str]] = {}
    for title, option, _ in pips(command):
        theirs.setdefault(title, set()).add(option._long_opts[0])
    ours = {
        group.title: {
            next(name for name in option.names if name.startswith("--")) for option in group.options
        }
        for group in COMMANDS[command]
        if group.title != OWN
    }
    assert ours == theirs


def rows(groups: tuple[Group, ...]) -> Iterator[str]:
    for group in groups:
        yield f"### {group.title}"
        yield ""
        yield "| option | what it does | who does it |"
        yield "|---|---|---|"
        for option in group.options:
            names = ", ".join(f"`{name}`" for name in option.names)
            who = option.handler.value + (f": {option.why}" if option.why else "")
            text = option.help or "as in pip, which hides it"
            yield f"| {names} | {text} | {who} |"
        yield ""


def test_every_option_is_in_the_documentation_with_who_handles_it() -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    for command, groups in COMMANDS.items():
        section = text.partition(f"## securepip {command}\n")[2].partition("\n## ")[0]
        assert section.strip() == "\n".join(rows(groups)).strip()


@BOTH
def test_what_does_nothing_says_why(command: str) -> None:
    for option in options_of(command):
        if option.handler is Handler.NOBODY:
            assert option.why, option.names


@pytest.mark.parametrize(
    ("words", "dest", "value"),
    [
        (["a", "-U", "b", "--pre"], "arguments", ["a", "b"]),
        (["-vvv", "x"], "verbose", 3),
        (["-qq", "x"], "quiet", 2),
        (["--dry", "x"], "dry_run", True),
        (["--report=-", "x"], "json_report_file", "-"),
        (["--report", "-", "x"], "json_report_file", "-"),
        (["-fhere", "-f", "there"], "find_links", ["here", "there"]),
        (["-C", "--build-option=x"], "config_settings", {"--build-option": "x"}),
        (["-Ca=1", "-Ca=2", "-Cb=3"], "config_settings", {"a": ["1", "2"], "b": "3"}),
        (["--python-version", "37"], "python_version", (3, 7)),
        (["--python-version", "3.7.1"], "python_version", (3, 7, 1)),
        (["--group", "dev"], "dependency_groups", (("pyproject.toml", "dev"),)),
        (["--group", "a/pyproject.toml:dev"], "dependency_groups", (("a/pyproject.toml", "dev"),)),
        (["--no-cache-dir"], "cache_dir", False),
        (["--no-user"], "use_user_site", False),
        (["--", "-r"], "arguments", ["-r"]),
        (
            ["--no-binary=a,b", "--only-binary", ":all:"],
            "format_control",
            (("--no-binary", "a,b"), ("--only-binary", ":all:")),
        ),
    ],
)
def test_a_command_line_is_read_as_pip_reads_it(words: list[str], dest: str, value: object) -> None:
    assert parse("install", *words)[dest] == value


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--nothing"], "no such option: --nothing"),
        (["--no-b"], "ambiguous option: --no-b"),
        (["-r"], "-r option requires 1 argument"),
        (["--upgrade-strategy", "x"], "invalid choice: 'x'"),
        (["--python-version", "3.x"], "each version part must be an integer"),
        (["--python-version", "3.7.1.2"], "at most three version parts are allowed"),
        (["-C", "a"], "must be of the form KEY=VAL"),
        (["--retries", "many"], "invalid integer value: 'many'"),
        (["--retries", "-1"], "invalid integer value: '-1'"),
        *(
            ([f"--timeout={value}"], f"invalid floating-point value: '{value}'")
            for value in ("-1", "0", "nan", "inf")
        ),
        (["--group", "other.toml:dev"], "group paths use 'pyproject.toml' filenames"),
        (["--uploaded-prior-to", "now"], "invalid value: 'now'"),
        (["--no-binary", "--pre"], "--no-binary option requires 1 argument"),
        (
            ["--use-deprecated", "legacy-certs"],
            "--use-deprecated legacy-certs cannot be honoured",
        ),
    ],
)
def test_what_is_no_valid_option_is_a_usage_error(words: list[str], message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        parse("install", *words)
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    ("variable", "value", "dest", "expected"),
    [
        ("PIP_FIND_LINKS", "a  b", "find_links", ["a", "b"]),
        ("PIP_NO_COMPILE", "1", "compile", True),  # pip's own oddity: what is written is the value
        ("PIP_NO_CACHE_DIR", "false", "cache_dir", False),
        ("PIP_NO_BINARY", ":all:", "format_control", (("--no-binary", ":all:"),)),
        ("PIP_DEFAULT_TIMEOUT", "7", "timeout", 7.0),
        ("PIP_VERBOSE", "2", "verbose", 2),
        ("PIP_QUIET", "true", "quiet", 1),
        ("PIP_INDEX_URL", "https://packages.example.org/simple", "configured_indexes",
         ("https://packages.example.org/simple",)),
        ("PIP_UPGRADE_STRATEGY", "eager", "upgrade_strategy", "eager"),
    ],
)  # fmt: skip
def test_variables_are_defaults_as_in_pip(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, dest: str, expected: object
) -> None:
    monkeypatch.setenv(variable, value)
    assert parse("install", "x")[dest] == expected
    if dest != "compile":
        assert parse("install", "x", "--isolated")[dest] != expected


def test_the_command_line_replaces_what_is_configured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", "https://packages.example.org/simple")
    monkeypatch.setenv("PIP_TIMEOUT", "3")
    read = parse("install", "x", "--timeout", "4", "-i", "https://other.example.org")
    assert (read["timeout"], read["index_url"]) == (4.0, "https://other.example.org")


def test_a_configured_value_that_does_not_fit_is_an_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PIP_REQUIRE_HASHES", "perhaps")
    with pytest.raises(UsageError, match="perhaps is not a valid value"):
        parse("install", "x")


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["install", "x"], ("install", ["x"])),
        (["--timeout", "5", "-v", "download", "x"], ("download", ["--timeout", "5", "-v", "x"])),
        (["trust", "list"], None),
        (["--help"], None),
        ([], None),
        (["--nothing", "install"], None),
    ],
)
def test_general_options_may_stand_before_the_command(
    words: list[str], expected: tuple[str, list[str]] | None
) -> None:
    assert pip_parser.split_command(words) == expected
