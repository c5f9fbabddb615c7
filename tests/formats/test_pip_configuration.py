"""Which of pip's configuration files count, and which of what they say."""

from __future__ import annotations

import importlib.util
import os
import sys
from importlib.machinery import ModuleSpec
from pathlib import Path

import platformdirs
import pytest
from pip._internal.configuration import Configuration
from pip._vendor import platformdirs as vendored
from pip._vendor.platformdirs.macos import MacOS as VendoredMacOS
from platformdirs.macos import MacOS

from securepip.errors import SecurepipError
from securepip.formats import pip_configuration
from securepip.formats.pip_configuration import (
    configuration_files,
    configuration_of,
    default_index,
    places_of_prefix,
    read_pip_configuration,
)


@pytest.fixture(autouse=True)
def home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A user and a machine without any configuration of pip's, and a prefix of Python's own."""
    for name in list(os.environ):
        if name.startswith(("PIP_", "XDG_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_DIRS", f"{tmp_path}/one{os.pathsep}{tmp_path}/two")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "own"))
    monkeypatch.setattr(sys, "prefix", str(tmp_path / "python"))
    return tmp_path


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch, home: Path) -> Path:
    """The folder for all users, in the place of those of the machine that runs this test."""
    folder = home / "machine"
    folder.mkdir()
    monkeypatch.setattr(pip_configuration, "_global_folders", lambda: [folder])
    return folder


def files(*, isolated: bool) -> list[str]:
    paths = configuration_files(sys.prefix, os.environ, isolated=isolated)
    return [str(path) for path in paths]


def files_of_pip(*, isolated: bool) -> list[str]:
    kinds = Configuration(isolated=isolated).iter_config_files()
    return [path for _, paths in kinds for path in paths]


@pytest.mark.parametrize("isolated", [False, True])
@pytest.mark.parametrize("named", [None, "named.conf", "missing.conf"])
def test_the_files_are_those_that_pip_reads_in_its_order(
    monkeypatch: pytest.MonkeyPatch, home: Path, named: str | None, isolated: bool
) -> None:
    (home / "named.conf").touch()
    if named:
        monkeypatch.setenv("PIP_CONFIG_FILE", str(home / named))
    assert files(isolated=isolated) == files_of_pip(isolated=isolated)


@pytest.mark.parametrize("prefix", ["/opt/homebrew/opt/python", "/usr/local/python"])
@pytest.mark.parametrize("has_folder", [False, True])
def test_the_files_are_those_that_pip_reads_on_macos(
    monkeypatch: pytest.MonkeyPatch, home: Path, prefix: str, has_folder: bool
) -> None:
    """Its folders are made up here of what both libraries say of macOS."""
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr(sys, "prefix", prefix)
    monkeypatch.setattr(platformdirs, "PlatformDirs", MacOS)
    monkeypatch.setattr(vendored, "PlatformDirs", VendoredMacOS)
    for name in ("XDG_CONFIG_DIRS", "XDG_CONFIG_HOME"):
        monkeypatch.delenv(name)
    own = home / "Library" / "Application Support" / "pip"
    if has_folder:
        own.mkdir(parents=True)
    found = files(isolated=False)
    assert found == files_of_pip(isolated=False)
    assert (str(own / "pip.conf") in found) is has_folder


@pytest.mark.usefixtures("machine")
def test_an_environment_may_be_asked_apart_where_distributions_come_from(home: Path) -> None:
    prefix, elsewhere = str(home / "environment"), str(home / "python")
    for folder, word in ((prefix, "its"), (elsewhere, "other"), (f"{home}/.pip", "user")):
        path = Path(folder, "pip.conf")
        path.parent.mkdir()
        path.write_text(
            f"[global]\nfind-links = /{word}\nno-index =\ncert = /{word}.pem\n"
            f"[install]\nextra-index-url = https://{word}.example.org/\n"
        )
    find, cert = ("find-links", "/its"), ("cert", "/its.pem")
    extra = ("extra-index-url", "https://its.example.org/")
    assert places_of_prefix("install", prefix=prefix, environ={}) == [find, extra]
    assert places_of_prefix(prefix=prefix, environ={}) == [find]
    assert places_of_prefix(environ={}) == [("find-links", "/other")]
    nothing = {"PIP_CONFIG_FILE": os.devnull}
    assert places_of_prefix("install", prefix=prefix, environ=nothing) == []

    assert read_pip_configuration("install", prefix=prefix, environ={}) == [find, cert, extra]
    assert read_pip_configuration("install", prefix=prefix, environ={}, of_prefix=False) == [
        ("find-links", "/user"),
        cert,
        ("extra-index-url", "https://user.example.org/"),
    ]


def test_without_the_user_neither_variables_nor_own_files_count(home: Path, machine: Path) -> None:
    (home / ".pip").mkdir()
    for folder, word in ((home / ".pip", "user"), (machine, "machine")):
        (folder / "pip.conf").write_text(f"[global]\ncert = {word}\n")
    environ = {"PIP_CERT": "variable", "CERT": "no"}
    assert read_pip_configuration(environ=environ) == [("cert", "user"), ("cert", "variable")]
    assert read_pip_configuration(environ=environ, isolated=True) == [("cert", "machine")]


@pytest.mark.usefixtures("machine")
def test_a_file_that_cannot_be_read_is_named_and_one_that_is_nowhere_says_nothing(
    monkeypatch: pytest.MonkeyPatch, home: Path
) -> None:
    path = home / ".pip" / "pip.conf"
    path.mkdir(parents=True)
    with pytest.raises(SecurepipError, match=f"{path} cannot be read: .*directory"):
        read_pip_configuration(environ={})
    path.rmdir()
    for content in (b"no section", b"[global]\nx = \xff\n"):
        path.write_bytes(content)
        with pytest.raises(SecurepipError, match=f"{path} cannot be read"):
            read_pip_configuration(environ={})
    monkeypatch.setenv("HOME", os.devnull)  # as of users that only run services
    assert read_pip_configuration(environ={}) == []


@pytest.mark.parametrize("spec", [None, ModuleSpec("pip", None)], ids=["none", "a module"])
def test_where_there_is_no_pip_its_default_index_is_not_known(
    monkeypatch: pytest.MonkeyPatch, spec: ModuleSpec | None
) -> None:
    assert default_index().startswith("https://")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: spec)
    with pytest.raises(SecurepipError, match="pip is not installed"):
        default_index()


@pytest.mark.parametrize(
    "says", [None, "import nothing_of_this_name", "PyPI =", "other = 1", "PyPI = 1"]
)
def test_a_pip_that_says_its_default_index_elsewhere_is_an_error_that_names_the_file(
    monkeypatch: pytest.MonkeyPatch, home: Path, says: str | None
) -> None:
    spec = ModuleSpec("pip", None, is_package=True)
    spec.submodule_search_locations = [str(home)]
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: spec)
    path = home / "_internal" / "models" / "index.py"
    path.parent.mkdir(parents=True)
    if says is not None:
        path.write_text(says)
    with pytest.raises(SecurepipError, match=f"does not say .*: {path}"):
        default_index()


def test_the_file_of_an_environment_is_in_its_top_folder(home: Path) -> None:
    assert configuration_of(str(home)) == home / "pip.conf"
