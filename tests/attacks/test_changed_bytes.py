"""A server changes any of its files: the error names the file, and nothing is installed."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.attacks.refusals import SERVED, assert_refused
from tests.support.hostile import HostileServer, Reply, flip_byte
from tests.support.machine import Machine


@pytest.mark.parametrize("kind", SERVED)
def test_one_changed_byte_is_refused_and_then_the_honest_file_is_installed(
    client: Machine, hostile: HostileServer, kind: str
) -> None:
    before = client.installed()
    for share in (0.5, 1.0):

        def change(data: bytes, share: float = share) -> Reply:
            return flip_byte(data, int(share * (len(data) - 1)))

        hostile.alter(SERVED[kind], change)
        assert_refused(client.install("app"), hostile, SERVED[kind])
        assert client.installed() == before
        hostile.honest()
    done = client.install("app")
    assert done.code == 0, done.err
    assert client.version_of("app") == "2.0"


@pytest.mark.parametrize("kind", SERVED)
@pytest.mark.parametrize("change", ["longer", "shorter", "empty"])
def test_a_file_of_another_length_is_refused(
    client: Machine, hostile: HostileServer, kind: str, change: str
) -> None:
    changes = {
        "longer": lambda data: data + b" more",
        "shorter": lambda data: data[:-1],
        "empty": lambda data: b"",
    }
    hostile.alter(SERVED[kind], changes[change])
    assert_refused(client.install("app"), hostile, SERVED[kind])


@pytest.mark.parametrize("kind", SERVED)
def test_endless_data_is_cut_off_after_what_may_be_there(
    client: Machine, hostile: HostileServer, kind: str
) -> None:
    sent = 0

    def endless(data: bytes) -> Reply:
        def pieces() -> Iterator[bytes]:
            nonlocal sent
            yield data
            for _ in range(4096):
                sent += 1
                yield bytes(1 << 20)

        return pieces()

    hostile.alter(SERVED[kind], endless)
    assert_refused(client.install("app"), hostile, SERVED[kind])
    # Before python-tuf knows a file's length, it may be given 128 MB at most.
    assert sent < 200


@pytest.mark.parametrize("kind", SERVED)
def test_the_page_of_a_captive_portal_is_refused_and_not_shown(
    client: Machine, hostile: HostileServer, kind: str
) -> None:
    hostile.alter(SERVED[kind], lambda data: b"<!DOCTYPE html><html><body>Please log in</html>")
    done = client.install("app")
    assert_refused(done, hostile, SERVED[kind])
    assert "Please log in" not in done.err
