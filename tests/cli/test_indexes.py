"""Which index is used: one that the command names must be trusted, one of pip's settings may be."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import pytest

from securepip.formats.pip_configuration import default_index
from tests.support.hostile import HostileServer
from tests.support.machine import Machine
from tests.support.repositories import make_repository
from tests.support.wheels import make_wheel


@pytest.mark.parametrize(
    "settings",
    [
        {"PIP_INDEX_URL": "https://packages.example.org/simple/"},
        {"PIP_EXTRA_INDEX_URL": "https://packages.example.org/simple/ file:///nowhere/simple"},
        {"PIP_FIND_LINKS": "https://packages.example.org/wheels/"},
    ],
)
def test_where_pip_was_told_to_look_long_ago_is_neither_asked_nor_in_the_way(
    client: Machine, settings: dict[str, str]
) -> None:
    done = client.install("app", "--no-compile", **settings)
    assert done.code == 0, done.err
    asked_elsewhere = "Not asking https://packages.example.org/simple/" in done.out
    assert asked_elsewhere == ("PIP_INDEX_URL" in settings)


@pytest.mark.parametrize("option", ["--index-url", "--extra-index-url"])
def test_an_index_that_this_command_names_must_stand_for_a_trusted_repository(
    client: Machine, hostile: HostileServer, option: str
) -> None:
    done = client.install("app", option, "https://packages.example.org/simple/")
    assert done.code == 1
    assert "stands for no repository that this machine trusts" in done.err
    assert not client.freeze()
    assert client.install("app", option, f"{hostile.url}simple/").code == 0


@pytest.mark.parametrize("place", ["option", "file", "extra"])
def test_pips_default_index_stands_for_all_that_is_trusted_and_is_never_asked(
    client: Machine, tmp_path: Path, place: str
) -> None:
    wanted = tmp_path / "wanted.txt"
    wanted.write_text(f"--index-url {default_index()}\napp\n")
    words = {
        "option": ("app", "-i", default_index().rstrip("/") + "/"),
        "file": ("-r", wanted),
        "extra": ("app", "--extra-index-url", default_index()),
    }
    # Whatever is not on this machine goes to a port where nobody is: it fails when it is asked.
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        proxy = f"http://127.0.0.1:{nobody.getsockname()[1]}"
        nobody.close()
        done = client.install(*words[place], "--dry-run", https_proxy=proxy, no_proxy="127.0.0.1")
    assert done.code == 0, done.err
    assert "app-2.0" in done.out
    assert f"Not asking {default_index()}" in done.out


def test_pips_default_index_is_judged_as_any_other_where_a_repository_stands_for_it(
    client: Machine, tmp_path: Path
) -> None:
    other = make_repository(tmp_path / "other", make_wheel(tmp_path / "own", "own", "1.0"))
    words = ("--root", other.root, "--index-url", default_index())
    assert client.run("trust", "add", "other", other.folder, *words).code == 0
    done = client.install("own", "-i", default_index(), "--dry-run")
    assert done.code == 0, done.err
    assert "Not asking" not in done.out
    limited = client.install("app", "-i", default_index(), "--dry-run")
    assert limited.code == 1
    assert "No matching distribution found for app" in limited.err


def test_an_index_in_pips_configuration_chooses_the_repository_that_it_stands_for(
    client: Machine, tmp_path: Path
) -> None:
    other = make_repository(tmp_path / "other", make_wheel(tmp_path / "newer", "app", "9.0"))
    index = "https://packages.example.org/simple/"
    root = str(other.root)
    assert not client.run(
        "trust", "add", "other", other.folder, "--root", root, "--index-url", index
    ).code
    assert "app-2.0" in client.install("app", "--dry-run").out
    assert "app-9.0" in client.install("app", "--dry-run", PIP_INDEX_URL=index).out


def _own_index(folder: Path, *wheels: tuple[str, str]) -> Path:
    for name, version in wheels:
        made = make_wheel(folder / name, name, version)
        (folder / name / "index.html").write_text(f'<a href="{made.name}">{made.name}</a>')
    return folder


def test_an_index_in_a_folder_that_this_command_names_is_the_user_s_own(
    client: Machine, tmp_path: Path
) -> None:
    own = _own_index(tmp_path / "own", ("app", "7.0"), ("lib", "7.0"))
    done = client.install("app", "-i", own.as_uri(), "--no-compile", "--report", tmp_path / "said")
    assert done.code == 0, done.err
    assert f"Looking in indexes: {own.as_uri()}" in done.out
    assert client.freeze() == ["app==7.0"]
    (item,) = json.loads((tmp_path / "said").read_text())["install"]
    assert item["securepip"] == {"verified": "local, not signed", "why": f"index {own.as_uri()}"}


def test_it_takes_the_place_of_the_repositories_or_is_added_to_them_as_with_pip(
    client: Machine, tmp_path: Path
) -> None:
    own = _own_index(tmp_path / "own", ("mine", "1.0"))
    alone = client.install("mine", "app", "--index-url", own)
    assert alone.code == 1
    assert "No matching distribution found for app" in alone.err
    wanted = tmp_path / "wanted.txt"
    wanted.write_text(f"--extra-index-url {own.as_uri()}\nmine\napp\n")
    added = client.install("-r", wanted, "--no-compile")
    assert added.code == 0, added.err
    assert {"mine==1.0", "app==2.0"} <= set(client.freeze())


def test_a_folder_that_pip_was_told_of_long_ago_is_not_asked(
    client: Machine, tmp_path: Path
) -> None:
    own = _own_index(tmp_path / "own", ("app", "7.0"))
    for setting in ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL"):
        done = client.install("app", "--dry-run", **{setting: own.as_uri()})
        assert "app-2.0" in done.out


def test_a_folder_that_stands_for_a_trusted_repository_is_verified(
    client: Machine, tmp_path: Path
) -> None:
    other = make_repository(tmp_path / "other", make_wheel(tmp_path / "newer", "app", "9.0"))
    root = str(other.root)
    assert not client.run("trust", "add", "other", other.folder, "--root", root).code
    link = tmp_path / "link"
    link.symlink_to(other.folder)
    # Another spelling must not make it a folder that nobody signs.
    for place in (other.folder / "simple", link / "simple", link / ".." / "other" / "simple"):
        index = f"file://{place}"
        done = client.install("app", "--no-deps", "-i", index, "--dry-run", "--report", "-")
        assert '"repository": "other"' in done.out
    for file in (other.folder / "packages" / "app").glob("*.whl"):
        file.write_bytes(b"changed")
    assert client.install("app", "--no-deps", "-i", index).code == 3
