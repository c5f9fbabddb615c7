"""Which index is asked: what this command names must be vouched for, what pip was told may be."""

from __future__ import annotations

from pathlib import Path

import pytest

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
