"""Other users may write to the folder of ``download -d``: their files are replaced, not opened."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from securepip.formats.digests import sha256_of
from tests.support.machine import Finished, Machine
from tests.support.wheels import make_sdist

_WHEEL = "other-1.0-py3-none-any.whl"


def _download(machine: Machine, folder: Path, *words: str | Path) -> Finished:
    return machine.run("download", "--python", machine.environment, "-d", folder, *words)


@pytest.mark.parametrize("kind", ["fifo", "link", "link to the right bytes"])
def test_what_is_no_plain_file_is_not_opened_and_replaced(
    client: Machine, tmp_path: Path, kind: str, request: pytest.FixtureRequest
) -> None:
    assert _download(client, tmp_path / "before", "other").code == 0
    genuine = (tmp_path / "before" / _WHEEL).read_bytes()
    folder, place = tmp_path / "shared", tmp_path / "shared" / _WHEEL
    folder.mkdir()
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_bytes(genuine if kind == "link to the right bytes" else b"of the user")
    if kind == "fifo":
        os.mkfifo(place)
        # If securepip opened it nevertheless, this would end the wait.
        rescue = threading.Timer(30, lambda: os.close(os.open(place, os.O_RDWR)))
        request.addfinalizer(rescue.cancel)
        rescue.start()
    else:
        place.symlink_to(elsewhere)
    kept = elsewhere.read_bytes()
    done = _download(client, folder, "other")
    assert done.code == 0, done.err
    assert f"{place} is not a file that can be read. Re-downloading." in done.err
    assert (place.is_symlink(), place.read_bytes()) == (False, genuine)
    assert elsewhere.read_bytes() == kept


@pytest.mark.parametrize("kind", ["fifo", "link"])
def test_what_lies_there_of_a_file_that_was_named_with_its_hash_is_not_opened(
    client: Machine, tmp_path: Path, kind: str
) -> None:
    sdist = make_sdist(tmp_path / "built", "one", "1")
    place = tmp_path / "shared" / sdist.name
    place.parent.mkdir()
    if kind == "fifo":
        os.mkfifo(place)
    else:
        place.symlink_to(sdist)
    url = f"{sdist.as_uri()}#sha256={sha256_of(sdist.read_bytes())}"
    done = _download(client, place.parent, "--no-deps", f"one @ {url}")
    assert done.code == 0, done.err
    assert not place.is_symlink()
    assert place.read_bytes() == sdist.read_bytes()
