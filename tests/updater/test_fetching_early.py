"""What is fetched before python-tuf asks for it is bounded by what the snapshot announces."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from securepip.errors import VerificationError
from securepip.transport import Transport, TransportOptions
from securepip.updater.session import Session
from tests.support.hostile import HostileServer
from tests.support.repositories import MadeRepository

PIECE = b"x" * (1 << 16)


def test_an_endless_role_is_read_no_further_than_the_snapshot_says(
    made: MadeRepository, hostile: HostileServer, tmp_path: Path
) -> None:
    sent: list[int] = []

    def endless(data: bytes) -> Iterator[bytes]:
        for _ in range(1 << 12):
            sent.append(len(PIECE))
            yield PIECE

    hostile.alter(r"metadata/\d+\.bins\.json", endless)
    transport = Transport(TransportOptions(retries=0))
    root = made.root.read_bytes()
    session = Session("made", f"{hostile.url}metadata/", tmp_path / "state", transport, root)
    session.prefetch(["simple/app/index.json"])
    with pytest.raises(VerificationError):
        session.target("simple/app/index.json")
    # What the two ends of the connection hold on the way is more than what is read.
    assert sum(sent) < 16 << 20
