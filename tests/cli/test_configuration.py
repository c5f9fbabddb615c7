"""pip's configuration means the same to securepip as to pip."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest import mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pip._internal.cli.parser import ConfigOptionParser
from pip._internal.commands import create_command

from securepip.cli.pip_commands.inputs.choosing import resolve_options
from securepip.cli.pip_commands.parser import read as parse
from securepip.formats.pip_configuration import read_pip_configuration
from tests.support.hostile import HostileServer
from tests.support.machine import Machine
from tests.support.repositories import MadeRepository

NAMES = ["timeout", "default-timeout", "Retries", "no_color", "--constraint", "cert", "version"]
VALUES = [
    "",
    "1",
    "20",
    "yes",
    "a.txt  b.txt",
    "/etc/ca.pem ",
    "%(home)s",
    "$HOME/x",
    "#x",
    "a\n b",
]
LEVELS = ["xdg/pip/pip.conf", ".pip/pip.conf", ".config/pip/pip.conf", "named.conf"]

sections = st.dictionaries(
    st.sampled_from(["global", "install", "download", "wheel"]),
    st.dictionaries(st.sampled_from(NAMES), st.sampled_from(VALUES), max_size=4),
    max_size=3,
)
variables = st.dictionaries(
    st.sampled_from(["PIP_TIMEOUT", "PIP_NO_COLOR", "PIP_CONSTRAINT", "PIP_HELP", "PIP_cert"]),
    st.sampled_from(["", "1", "no", "x y"]),
    max_size=3,
)
named_file = st.sampled_from(["named.conf", "missing.conf", os.devnull, None])


def write(home: Path, level: str, content: dict[str, dict[str, str]]) -> None:
    path = home / level
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = []
    for section, values in content.items():
        lines += [f"[{section}]", *(f"{name} = {value}" for name, value in values.items())]
    path.write_text("\n".join(lines))


def by_name(pairs: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    """The values of each option, the weakest first."""
    found: dict[str, list[str]] = {}
    for name, value in pairs:
        found.setdefault(name, []).append(value)
    return found


def read_with_pip(command: str) -> dict[str, list[str]]:
    """The defaults of a command's options in pip's own parser."""
    parser = ConfigOptionParser(name=command, prog="pip")
    parser.config.load()
    items = by_name(parser._get_ordered_configuration_items())
    # Not an option of a command, but the place of a file.
    items.pop("config-file", None)
    return items


@settings(max_examples=80)
@given(
    files=st.dictionaries(st.sampled_from(LEVELS), sections),
    environ=variables,
    named=named_file,
)
def test_every_value_is_the_one_that_pip_takes(
    files: dict[str, dict[str, dict[str, str]]], environ: dict[str, str], named: str | None
) -> None:
    with TemporaryDirectory() as folder:
        home = Path(folder)
        for level, content in files.items():
            write(home, level, content)
        kept = {n: v for n, v in os.environ.items() if not n.startswith(("PIP_", "XDG_"))}
        kept |= {"HOME": folder, "XDG_CONFIG_DIRS": f"{folder}/xdg", **environ}
        if named is not None:
            kept["PIP_CONFIG_FILE"] = named if named == os.devnull else f"{folder}/{named}"
        with mock.patch.dict(os.environ, kept, clear=True):
            for command in ("install", "download"):
                ours = by_name(read_pip_configuration(command, environ=os.environ))
                theirs = read_with_pip(command)
                theirs.pop("version", None)  # no option that has a value
                assert ours == theirs


def test_configured_constraints_certificates_and_limits_are_used(
    client: Machine, hostile: HostileServer, tmp_path: Path
) -> None:
    (tmp_path / "constraints.txt").write_text("app<2\n")
    config = tmp_path / "home" / ".config" / "pip" / "pip.conf"
    config.parent.mkdir(parents=True)
    config.write_text(
        f"[global]\nconstraint = {tmp_path / 'constraints.txt'}\nverbose = 1\nunknown = x\n"
        f"[install]\nno-deps = yes\n"
    )
    variables = dict(client.variables)
    del variables["PIP_CONFIG_FILE"]
    client.variables = variables
    done = client.install("--dry-run", "app")
    assert done.out.endswith("Would install app-1.0\n"), done.err
    by_variable = client.install("--dry-run", "app", PIP_NO_DEPS="0", PIP_CONSTRAINT=os.devnull)
    assert by_variable.out.endswith("Would install app-2.0 lib-1.0\n"), by_variable.err
    no_file = client.install("--dry-run", "-U", "app", PIP_CERT=str(tmp_path / "missing.pem"))
    assert no_file.code in (0, 1)
    assert "Traceback" not in no_file.err


def test_formats_add_up_over_sections_as_with_pip(
    client: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path / "pip.conf"
    config.write_text("[global]\nno-binary = a\n[install]\nno-binary = b\nonly-binary = d\n")
    monkeypatch.setenv("PIP_CONFIG_FILE", str(config))
    monkeypatch.setenv("PIP_NO_BINARY", "c")
    given = parse("install", ["--no-binary", "d", "x"])
    formats = resolve_options(given).formats
    theirs = create_command("install").parse_args(["--no-binary", "d", "x"])[0].format_control
    assert (formats.first, formats.second) == (theirs.no_binary, theirs.only_binary)


def test_a_repository_is_added_with_the_network_settings_that_pip_has(
    machine: Machine, hostile: HostileServer, shared_repository: MadeRepository
) -> None:
    """Its certificate authority, say, or its proxy: here one that is not there."""
    words = ("trust", "add", "made", hostile.url, "--root-sha256", shared_repository.root_sha256)
    done = machine.run(*words, PIP_PROXY="http://127.0.0.1:9")
    assert done.code == 1
    assert hostile.seen == []
    assert machine.run(*words).code == 0


@pytest.mark.parametrize(
    ("name", "value"), [("PIP_TIMEOUT", "soon"), ("PIP_NO_DEPS", "perhaps"), ("PIP_RETRIES", "1.5")]
)
def test_a_wrong_value_is_an_error_that_names_it(client: Machine, name: str, value: str) -> None:
    done = client.install("--dry-run", "app", **{name: value})
    assert done.code == 2
    assert value in done.err
    assert "configuration" in done.err


def test_a_configuration_file_that_cannot_be_read_is_an_error_as_with_pip(
    client: Machine, tmp_path: Path
) -> None:
    broken = tmp_path / "broken.conf"
    for content in (b"no section", b"[global]\nx = \xff\n"):
        broken.write_bytes(content)
        done = client.install("--dry-run", "app", PIP_CONFIG_FILE=str(broken))
        assert done.code == 1
        assert str(broken) in done.err
        assert client.pip("list", PIP_CONFIG_FILE=str(broken)).code != 0
