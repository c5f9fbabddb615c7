"""The snapshot bounds the files that are fetched before python-tuf asks for them."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from tuf.api.exceptions import DownloadHTTPError
from tuf.api.metadata import Timestamp
from tuf.ngclient import Updater, UpdaterConfig

from securepip.errors import VerificationError
from securepip.transport import Transport, TransportOptions
from securepip.updater import ahead, fetcher
from securepip.updater.checked import CheckedUpdater
from securepip.updater.session import Session
from tests.support.begun import all_answered
from tests.support.hostile import HostileServer, Reply
from tests.support.repositories import MadeRepository
from tests.support.wheels import make_wheel

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


def test_no_more_is_asked_for_early_than_anybody_needs(
    hostile: HostileServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetcher, "EARLY_FILES", 20)
    hostile.alter("metadata/.*", lambda data: b"x")
    patient = fetcher.Fetcher(Transport(TransportOptions(retries=0)))
    urls = [f"{hostile.url}metadata/{number}" for number in range(30)]
    for url in urls:
        patient.warm(url, 1)
    assert sum(patient.warmed(url) == b"x" for url in urls) == 20
    assert len(hostile.seen) == 20
    # What was asked for makes room.
    assert all(patient.download_bytes(url, 1) == b"x" for url in urls)
    assert len(hostile.seen) == 30


def test_what_was_begun_ahead_is_not_fetched_early_as_well(hostile: HostileServer) -> None:
    hostile.alter("metadata/.*", lambda data: b"x")
    url = f"{hostile.url}metadata/1"
    with Transport(TransportOptions(retries=0)) as transport:
        transport.begin_ahead(url, max_bytes=9)
        patient = fetcher.Fetcher(transport)
        patient.warm(url, 1)
        assert patient.download_bytes(url, 1) == b"x"
        for _ in range(3):
            patient.warm(f"{url}0", 1)
        assert patient.warmed(f"{url}0") == b"x"
    assert hostile.seen == ["metadata/1", "metadata/10"]


@pytest.mark.parametrize("status", [200, 404, 599])
def test_the_servers_time_is_in_any_answer(hostile: HostileServer, status: int) -> None:
    hostile.answer = lambda path: b"x" if status == 200 else status  # type: ignore[method-assign]
    with Transport(TransportOptions(retries=0)) as transport:
        assert fetcher.Fetcher(transport).date_at(f"{hostile.url}x").endswith("GMT")


def test_what_could_not_be_fetched_early_is_asked_for_again(hostile: HostileServer) -> None:
    url = f"{hostile.url}metadata/1"
    with Transport(TransportOptions(retries=0)) as transport:
        patient = fetcher.Fetcher(transport)
        patient.warm(url, 1)
        with pytest.raises(DownloadHTTPError):
            patient.download_bytes(url, 1)
        hostile.alter("metadata/.*", lambda data: b"x")
        assert patient.download_bytes(url, 1) == b"x"


def test_a_long_file_of_no_announced_length_is_fetched_when_it_is_asked_for(
    hostile: HostileServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ahead, "UNANNOUNCED_BYTES", 1_000)
    hostile.alter("metadata/x", lambda data: b"x" * 3_000)
    patient = fetcher.Fetcher(Transport(TransportOptions(retries=0)))
    patient.warm(f"{hostile.url}metadata/x", None)
    assert patient.warmed(f"{hostile.url}metadata/x") is None
    assert patient.download_bytes(f"{hostile.url}metadata/x", 3_000) == b"x" * 3_000


def test_the_snapshot_of_a_session_is_the_one_that_it_verified(
    made: MadeRepository, hostile: HostileServer, tmp_path: Path
) -> None:
    hostile.folder = made.folder
    root = made.root.read_bytes()

    def session() -> Session:
        transport = Transport(TransportOptions(retries=0))
        return Session("made", f"{hostile.url}metadata/", tmp_path / "state", transport, root)

    first = session()
    refreshed = Updater.refresh

    def overtaken(updater: Updater) -> None:
        refreshed(updater)
        monkeypatch.setattr(Updater, "refresh", refreshed)
        # As soon as the lock is free, another process brings the folder to a later moment.
        made.add(make_wheel(tmp_path / "built", "lib", "2.0"))
        CheckedUpdater.refresh(
            CheckedUpdater(
                tmp_path / "state",
                f"{hostile.url}metadata/",
                fetcher.Fetcher(Transport(TransportOptions(retries=0))),
                UpdaterConfig(),
                root,
                lambda listed: None,
            )
        )

    with pytest.MonkeyPatch.context() as monkeypatch:
        before = made.repository.roles()
        name = before.bin_of("packages/lib/lib-2.0-py3-none-any.whl")
        version = before.meta(name).version
        monkeypatch.setattr(Updater, "refresh", overtaken)
        first.refresh()
    assert made.repository.roles().meta(name).version > version
    assert first.role_version(name) == version
    assert first.role("bins") is None  # no look-up of this session has met it yet
    later = session()
    assert later.target("packages/lib/lib-2.0-py3-none-any.whl") is not None
    assert later.role(name) is not None
    # Each goes by its own moment, whichever of them the folder has by now.
    assert first.target("packages/lib/lib-2.0-py3-none-any.whl") is None
    role = first.role(name)
    assert role is not None
    assert role.signed.version == version
    assert later.role(name) is None


def test_a_timestamp_that_was_overtaken_while_it_waited_is_asked_for_once_more(
    made: MadeRepository, hostile: HostileServer, tmp_path: Path
) -> None:
    hostile.folder = made.folder
    address, state, root = f"{hostile.url}metadata/", tmp_path / "state", made.root.read_bytes()
    with Transport(TransportOptions(retries=0)) as late, Transport() as other:
        ahead.begin(late, address, state, root, [])
        all_answered()
        assert len(hostile.seen) == 2
        # Another process of this machine sees what is signed meanwhile.
        made.add(make_wheel(tmp_path / "built", "lib", "2.0"))
        Session("made", address, state, other, root).refresh()
        all_answered()
        hostile.seen.clear()
        session = Session("made", address, state, late, root)
        assert session.target("packages/lib/lib-2.0-py3-none-any.whl") is not None
        assert hostile.seen[0] == "metadata/timestamp.json"
        # One that is older by the time that it is asked for is a rollback as ever.
        old = (made.folder / "metadata/timestamp.json").read_bytes()
        made.add(make_wheel(tmp_path / "built", "lib", "3.0"))
        Session("made", address, state, other, root).refresh()
        hostile.alter("metadata/timestamp.json", lambda data: old)
        all_answered()
        hostile.seen.clear()
        with pytest.raises(VerificationError, match="version"):
            Session("made", address, state, late, root).refresh()
        all_answered()
        assert hostile.seen.count("metadata/timestamp.json") == 1


def test_what_need_not_wait_for_each_other_is_asked_for_together(
    made: MadeRepository, hostile: HostileServer, tmp_path: Path
) -> None:
    answer, asked = hostile.answer, threading.Barrier(3)

    def answer_when_all_are_asked(path: str) -> Reply:
        if re.fullmatch(r"/?metadata/\d+\.(targets|bins|bin-[0-9a-f]+)\.json", path):
            asked.wait(60)
        return answer(path)

    hostile.answer = answer_when_all_are_asked  # type: ignore[method-assign]
    transport = Transport(TransportOptions(retries=0))
    root = made.root.read_bytes()
    session = Session("made", f"{hostile.url}metadata/", tmp_path / "state", transport, root)
    session.prefetch(["simple/app/index.json"])
    assert session.target("simple/app/index.json") is not None
    assert not asked.broken
    assert asked.n_waiting == 0


def test_a_python_tuf_that_loads_roles_past_the_checks_is_not_used(
    made: MadeRepository, hostile: HostileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = Updater._load_targets
    monkeypatch.setattr(
        Updater,
        "refresh",
        lambda updater: (
            updater._load_root(),
            updater._load_timestamp(),
            updater._load_snapshot(),
            original(updater, "targets", "root"),
        ),
    )
    transport = Transport(TransportOptions(retries=0))
    root = made.root.read_bytes()
    session = Session("made", f"{hostile.url}metadata/", tmp_path / "state", transport, root)
    with pytest.raises(VerificationError, match="loads roles in another way"):
        session.refresh()


def test_an_expired_role_is_named_and_not_the_file_that_was_asked_for_last(
    made: MadeRepository,
    hostile: HostileServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Timestamp, "is_expired", lambda self, reference_time=None: True)
    with Transport(TransportOptions(retries=0)) as transport:
        root = made.root.read_bytes()
        session = Session("made", f"{hostile.url}metadata/", tmp_path / "state", transport, root)
        with pytest.raises(VerificationError) as raised:
            session.refresh()
    said = f"{hostile.url}metadata/timestamp.json of the repository 'made' has expired"
    assert raised.value.what.startswith(said)
