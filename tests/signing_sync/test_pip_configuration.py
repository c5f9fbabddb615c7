"""Where pip on this machine would look, and what its own default is."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from securepip.errors import SecurepipError
from securepip.signing.overlay.upstream.pip_configuration import read_pip_configuration


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A user and a machine without any configuration of pip's."""
    for name in list(os.environ):
        if name.startswith("PIP_"):
            monkeypatch.delenv(name)
    for name in ("HOME", "XDG_CONFIG_HOME", "XDG_CONFIG_DIRS"):
        monkeypatch.setenv(name, str(tmp_path))


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_environment_variables_win_and_lists_are_split(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", "https://me:secret@packages.example.org/simple")
    monkeypatch.setenv("PIP_EXTRA_INDEX_URL", "https://a.example.org/ https://b.example.org/")
    monkeypatch.setenv("PIP_FIND_LINKS", "/wheels https://c.example.org/")
    monkeypatch.setenv("PIP_CONSTRAINT", "one.txt two.txt")
    monkeypatch.setenv("PIP_CERT", "/authorities.pem")
    monkeypatch.setenv("PIP_CLIENT_CERT", "/client.pem")
    monkeypatch.setenv("PIP_PROXY", "http://proxy.example.org:3128")
    monkeypatch.setenv("PIP_DEFAULT_TIMEOUT", "7")
    monkeypatch.setenv("PIP_RETRIES", "2")
    monkeypatch.setenv("PIP_TRUSTED_HOST", "x.example.org y.example.org:8080")
    found = read_pip_configuration()
    assert found.indexes == (
        "https://me:secret@packages.example.org/simple",
        "https://a.example.org/",
        "https://b.example.org/",
    )
    assert found.find_links == ("/wheels", "https://c.example.org/")
    assert found.constraints == ("one.txt", "two.txt")
    transport = found.transport
    assert (transport.cert, transport.client_cert) == ("/authorities.pem", "/client.pem")
    assert (transport.timeout, transport.retries) == (7.0, 2)
    assert transport.proxy == "http://proxy.example.org:3128"
    assert transport.trusted_hosts == ("x.example.org", "y.example.org:8080")


def test_the_section_of_install_and_the_stronger_file_win(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    named = tmp_path / "a-named.conf"
    # A name that sorts before that of the other file: pip lists settings by file name.
    write(named, "[global]\nindex-url = https://named.example.org/\n")
    write(
        tmp_path / "pip" / "pip.conf",
        "[global]\nindex-url = https://machine.example.org/\ntimeout = 3\n"
        "find-links =\n    /one\n    /two\n[install]\ntimeout = 4\n",
    )
    monkeypatch.setenv("PIP_CONFIG_FILE", str(named))
    found = read_pip_configuration()
    assert found.indexes == ("https://named.example.org/",)
    assert found.find_links == ("/one", "/two")
    assert found.transport.timeout == 4.0


def test_without_a_setting_pip_itself_names_its_default_index() -> None:
    (index,) = read_pip_configuration().indexes
    assert index.startswith("https://")


def test_no_index_means_none_unless_one_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "yes")
    assert read_pip_configuration().indexes == ()
    named = ["https://packages.example.org/simple"]
    assert read_pip_configuration(named).indexes == tuple(named)


def test_a_configuration_that_cannot_be_read_is_an_error_that_names_it(
    tmp_path: Path,
) -> None:
    write(tmp_path / "pip" / "pip.conf", "index-url = no section\n")
    with pytest.raises(SecurepipError, match=r"pip\.conf cannot be read: File contains no section"):
        read_pip_configuration()


def test_a_file_called_pip_in_the_current_folder_is_not_run(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    write(tmp_path / "pip.py", "raise SystemExit('the wrong pip')")
    monkeypatch.chdir(tmp_path)
    assert read_pip_configuration().indexes
