"""A read-only data folder, as in an image: the files that were seen stay protected."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.indexes import Index
from tests.support.machine import Machine, like_anybody
from tests.support.wheels import make_wheel


@pytest.fixture
def sealed(protected: Machine) -> Iterator[Machine]:
    """A protected machine that has seen ``app`` and ``lib``, and may not write its data now."""
    assert protected.install("app").code == 0
    protected.before = like_anybody()
    data = protected.folder / "data"
    folders = [data, *(each for each in data.rglob("*") if each.is_dir())]
    for folder in folders:
        folder.chmod(0o500)
    yield protected
    for folder in folders:
        folder.chmod(0o700)


def test_with_read_only_state_first_use_protects_from_all_that_it_has_seen(
    sealed: Machine, index: Index, tmp_path: Path
) -> None:
    index.offer(make_wheel(tmp_path / "more", "new", "1.0"))
    before = _files(sealed.folder / "data")
    option = ("install", "--python", sealed.environment, "--read-only-state")
    done = sealed.process(*option, "--force-reinstall", "app", "new")
    assert done.code == 0, done.err
    assert "is not remembered" in done.err
    assert sealed.version_of("new") == "1.0"
    index.offer(make_wheel(tmp_path / "evil", "app", "2.0", files={"app/evil.py": b"evil"}))
    forged = sealed.process(*option, "--force-reinstall", "--refresh-package", "app", "app")
    assert forged.code == 3, forged.err
    assert "is not the file that was seen first" in forged.err
    assert _files(sealed.folder / "data") == before


def test_without_the_option_it_says_which_folder_and_the_ways_out(sealed: Machine) -> None:
    done = sealed.process("install", "--python", sealed.environment, "--force-reinstall", "app")
    assert done.code == 1
    assert str(sealed.folder / "data") in done.err
    assert "SECUREPIP_DATA_DIR" in done.err
    assert "--read-only-state" in done.err


def _files(folder: Path) -> dict[str, bytes]:
    return {str(each): each.read_bytes() for each in sorted(folder.rglob("*")) if each.is_file()}
