"""What several tests share is afterwards what it was: else a test depends on those before it.

A folder that lives longer than a test (of a fixture whose value is a folder or a repository) is
listed when it is made and when it is taken down. Variables and the working folder are looked at
after each test.
"""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator, Mapping
from functools import partial
from pathlib import Path

import pytest

from tests.support.repositories import MadeRepository

_OF_PYTEST = "PYTEST_CURRENT_TEST"
_SERVED = ("metadata", "simple", "packages")
"""Of a repository. What it remembers, readers write to as well: they look up what is current."""

_PROCESS = pytest.StashKey[dict[str, str]]()
Listing = Mapping[str, int]


@pytest.hookimpl(wrapper=True)
def pytest_fixture_setup(
    fixturedef: pytest.FixtureDef[object],
) -> Generator[None, object, object]:
    """List the folders of a fixture that several tests share."""
    value = yield
    if fixturedef.scope != "function":
        before = {folder: _listing(folder) for folder in _folders(value)}
        if before:
            fixturedef.addfinalizer(partial(_check, fixturedef.argname, before))
    return value


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> Iterator[None]:
    """Remember what the process is like before a test."""
    item.stash[_PROCESS] = _process()
    return (yield)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_teardown(item: pytest.Item) -> Iterator[None]:
    """Name what a test has left behind in the process."""
    result = yield
    before, after = item.stash[_PROCESS], _process()
    changed = sorted({name for name, _ in before.items() ^ after.items()})
    assert not changed, f"{item.nodeid} leaves to later tests another {', '.join(changed)}"
    return result


def _process() -> dict[str, str]:
    variables = {name: value for name, value in os.environ.items() if name != _OF_PYTEST}
    return {**variables, "working folder": str(Path.cwd())}


def _folders(value: object) -> list[Path]:
    if isinstance(value, MadeRepository):
        served = [value.folder / name for name in _SERVED]
        return [*served, value.online_keys, value.offline_keys]
    return [value] if isinstance(value, Path) and value.is_dir() else []


def _listing(folder: Path) -> Listing:
    """The size of each file, and the length of what each link says."""
    return {
        str(path.relative_to(folder)): -1 if path.is_dir() else path.lstat().st_size
        for path in folder.rglob("*")
        if path.suffix != ".pyc"
    }


def _check(fixture: str, before: Mapping[Path, Listing]) -> None:
    for folder, listed in before.items():
        changed = sorted({name for name, _ in listed.items() ^ _listing(folder).items()})
        assert not changed, f"a test has changed what others share, of {fixture}: {changed}"
