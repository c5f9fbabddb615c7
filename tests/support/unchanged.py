"""Fails if a test changes what others share: the result of those would depend on their order.

The folder of each fixture that several tests share (its value is a path or a repository) is listed
when it is set up and when it is torn down. Environment variables and the working folder are
compared before and after each test.
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
"""The folders of a repository that are listed. A reader may write to its ``state`` as well."""

_PROCESS = pytest.StashKey[dict[str, str]]()
Listing = Mapping[str, int]


@pytest.hookimpl(wrapper=True)
def pytest_fixture_setup(
    fixturedef: pytest.FixtureDef[object],
) -> Generator[None, object, object]:
    """List the folders of a fixture that is not of a single test."""
    value = yield
    if fixturedef.scope != "function":
        before = {folder: _listing(folder) for folder in _folders(value)}
        if before:
            fixturedef.addfinalizer(partial(_check, fixturedef.argname, before))
    return value


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> Iterator[None]:
    """Remember the environment variables and the working folder before a test."""
    item.stash[_PROCESS] = _process()
    return (yield)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_teardown(item: pytest.Item) -> Iterator[None]:
    """Fail if the test has changed them."""
    result = yield
    before, after = item.stash[_PROCESS], _process()
    changed = sorted({name for name, _ in before.items() ^ after.items()})
    assert not changed, f"{item.nodeid} has changed for later tests: {', '.join(changed)}"
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
    """The size of each file and link; -1 for a folder."""
    return {
        str(path.relative_to(folder)): -1 if path.is_dir() else path.lstat().st_size
        for path in folder.rglob("*")
        if path.suffix != ".pyc"
    }


def _check(fixture: str, before: Mapping[Path, Listing]) -> None:
    for folder, listed in before.items():
        changed = sorted({name for name, _ in listed.items() ^ _listing(folder).items()})
        assert not changed, f"a test has changed {fixture}, which others share: {changed}"
