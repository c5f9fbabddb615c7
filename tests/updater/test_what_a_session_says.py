"""The errors of a session, which say what is wrong and what to do."""

from __future__ import annotations

import errno
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime
from pathlib import Path

import pytest
from filelock import FileLock
from tuf.api.exceptions import (
    DownloadError,
    DownloadHTTPError,
    DownloadLengthMismatchError,
    ExpiredMetadataError,
    LengthOrHashMismatchError,
    RepositoryError,
)
from tuf.api.metadata import MetaFile, SuccinctRoles
from tuf.ngclient import Updater

from securepip.errors import (
    RepositoryUnavailableError,
    SecurepipError,
    TooLargeError,
    TransportError,
    UnreachableError,
    VerificationError,
)
from securepip.transport import Transport, TransportOptions
from securepip.updater import ahead
from securepip.updater import session as sessions
from securepip.updater.fetcher import Fetcher
from securepip.updater.session import Session
from securepip.updater.state import count_project_roles, describe_names, describe_state
from tests.support.repositories import MadeRepository

URL = "https://packages.example.org/metadata/"
EXPIRED = "https://packages.example.org/metadata/7.snapshot.json"


def local(made: MadeRepository, state: Path) -> Session:
    url = f"{made.folder.as_uri()}/metadata/"
    return Session("made", url, state, Transport(), made.root.read_bytes())


@contextmanager
def no_answer(monkeypatch: pytest.MonkeyPatch, error: TransportError) -> Iterator[None]:
    def fails(*arguments: object, **options: object) -> object:
        raise error

    with monkeypatch.context() as patched:
        for name in ("_get", "peek"):
            patched.setattr(Transport, name, fails)
        yield


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (-5.0, "0 seconds"),
        (0.4, "0 seconds"),
        (1.2, "1 second"),
        (119.0, "119 seconds"),
        (120.0, "2 minutes"),
        (7199.0, "120 minutes"),
        (7200.0, "2 hours"),
        (2 * 86400.0 - 1, "48 hours"),
        (2 * 86400.0, "2 days"),
        (10 * 86400.0, "10 days"),
    ],
)
def test_an_age_is_said_in_the_unit_that_fits(seconds: float, words: str) -> None:
    assert sessions._words(seconds) == words


@pytest.mark.parametrize(
    ("ahead", "says"),
    [
        (timedelta(0), "the server, too, says that it is"),
        (timedelta(minutes=9), "the server, too, says that it is"),
        (timedelta(minutes=11), "Most likely the first is wrong"),
        (-timedelta(days=2), "Most likely the first is wrong"),
    ],
)
def test_whose_clock_is_wrong_is_told_by_the_difference_to_the_servers(
    monkeypatch: pytest.MonkeyPatch, ahead: timedelta, says: str
) -> None:
    fetcher = Fetcher(Transport())
    server = datetime.now(timezone.utc) + ahead
    monkeypatch.setattr(fetcher, "date_at", lambda url: format_datetime(server))
    said = sessions._of_clocks(fetcher, URL)
    assert says in said
    if ahead > timedelta(minutes=10):
        assert f"{server:%Y-%m-%d %H:%M UTC}" in said


@pytest.mark.parametrize(
    "date",
    [
        *("", "yesterday", "Fri, 27 Nov 2026 13:00:00 -0000"),
        *(f"Fri, 27 Nov 2026 13:00:00 +{'9' * 20}", f"Fri, 27 Nov {'9' * 20} 13:00:00 GMT", None),
    ],
    ids=repr,
)
def test_where_the_server_says_no_time_the_clock_may_be_wrong(
    monkeypatch: pytest.MonkeyPatch, date: str | None
) -> None:
    fetcher = Fetcher(Transport(TransportOptions(retries=0)))
    if date is not None:
        monkeypatch.setattr(fetcher, "date_at", lambda url: date)
        said = sessions._of_clocks(fetcher, URL)
    else:
        with no_answer(monkeypatch, UnreachableError("no answer", url=URL)):
            said = sessions._of_clocks(fetcher, URL)
    assert "A wrong clock on this machine looks the same" in said


def raising(error: Exception) -> object:
    def action() -> object:
        raise error

    return action


@pytest.mark.parametrize(
    ("error", "kind", "says"),
    [
        (RepositoryError("two delegators"), VerificationError, "is not what the repository"),
        (DownloadLengthMismatchError("too long"), VerificationError, "is not what the repository"),
        (LengthOrHashMismatchError("digest"), VerificationError, "is not what the repository"),
        (OSError(errno.ENOSPC, "no space left"), SecurepipError, "cannot be kept in"),
        (OSError("odd"), SecurepipError, ": odd"),
        (DownloadError("silence"), RepositoryUnavailableError, "did not answer"),
        (DownloadHTTPError("gone", 404), RepositoryUnavailableError, "did not answer"),
        (
            ExpiredMetadataError("snapshot.json is expired"),
            VerificationError,
            f"{URL}snapshot.json of the repository 'made' has expired",
        ),
    ],
    ids=repr,
)
def test_each_error_of_python_tuf_becomes_one_for_people(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
    kind: type[SecurepipError],
    says: str,
) -> None:
    session = Session("made", URL, tmp_path, Transport(), None)
    monkeypatch.setattr(session._fetcher, "date_at", lambda url: "")
    with pytest.raises(kind) as raised:
        session._explained(raising(error))  # type: ignore[arg-type]
    assert says in raised.value.what
    assert raised.value.remedy
    if kind is not SecurepipError:
        assert URL in raised.value.what
        assert raised.value.meaning


@pytest.mark.parametrize(
    ("said", "asked", "named"),
    [
        ("New snapshot is expired", EXPIRED, EXPIRED),
        ("Final root is expired", EXPIRED, f"{URL}root.json"),
        ("timestamp.json is expired", f"{URL}timestamp.json", f"{URL}timestamp.json"),
        ("bin-0.json is expired", f"{URL}3.bin-0.json", f"{URL}3.bin-0.json"),
        ("bin-0.json is expired", f"{URL}3.my-bin-0.json", f"{URL}bin-0.json"),
    ],
)
def test_what_has_expired_is_named_by_its_own_address(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: str, asked: str, named: str
) -> None:
    session = Session("made", URL, tmp_path, Transport(), None)
    session._fetcher.last_url = asked
    monkeypatch.setattr(session._fetcher, "date_at", lambda url: "")
    error = session._expired(ExpiredMetadataError(said))
    assert error.what.startswith(f"{named} of the repository 'made' has expired. No good")


@pytest.mark.parametrize(
    ("error", "what", "meaning", "remedy"),
    [
        (
            TransportError("gone", url=URL, status=404, meaning="m", remedy="r"),
            "the repository 'made' did not answer: gone",
            "names a file that is not there",
            "then try again",
        ),
        (
            TransportError("forbidden", url=URL, status=403, meaning="m", remedy="r"),
            "the repository 'made' did not answer: forbidden",
            "names a file that is not there",
            "then try again",
        ),
        (
            TransportError("broken", url=URL, status=500, meaning="It is ill.", remedy="Wait."),
            "the repository 'made' did not answer: broken",
            "It is ill. Nothing is installed without it.",
            "Wait.",
        ),
        (
            TransportError("broken", url=URL, status=500, meaning="It is ill."),
            "the repository 'made' did not answer: broken",
            "It is ill. Nothing is installed without it.",
            f"the address ({URL})",
        ),
        (
            TransportError("a password", url=URL, status=401, meaning="Not in.", remedy="Sign in."),
            "the repository 'made' does not let this machine in: a password",
            "Not in. Nothing is installed without it.",
            "Sign in.",
        ),
        (UnreachableError("silence", url=URL), "silence", "cannot be reached", "your network"),
    ],
    ids=lambda value: repr(value)[:30],
)
def test_no_answer_says_why_and_what_to_do(
    shared_repository: MadeRepository,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    error: TransportError,
    what: str,
    meaning: str,
    remedy: str,
) -> None:
    state = tmp_path / "state"
    with no_answer(monkeypatch, error), pytest.raises(RepositoryUnavailableError) as raised:
        Session("made", URL, state, Transport(), shared_repository.root.read_bytes()).refresh()
    assert raised.value.what == f"{what}. No good signatures of it ever arrived here"
    assert meaning in raised.value.meaning
    assert remedy in raised.value.remedy
    local(shared_repository, state).refresh()
    ago = time.time() - 3 * 3600
    os.utime(state / "timestamp.json", (ago, ago))
    with no_answer(monkeypatch, error), pytest.raises(RepositoryUnavailableError) as raised:
        Session("made", URL, state, Transport(), None).refresh()
    assert raised.value.what == f"{what}. Its last good signatures arrived 3 hours ago"


def test_an_answer_that_is_too_long_is_no_silence(
    shared_repository: MadeRepository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (
        no_answer(monkeypatch, TooLargeError("too long", url=URL)),
        pytest.raises(VerificationError, match="too long"),
    ):
        Session(
            "made", URL, tmp_path / "state", Transport(), shared_repository.root.read_bytes()
        ).refresh()


def test_who_waits_for_another_process_in_vain_is_told_whom_to_end(
    shared_repository: MadeRepository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = tmp_path / "state"
    local(shared_repository, state).refresh()
    monkeypatch.setattr(sessions, "LOCK_SECONDS", 0.02)
    with FileLock(state / ".lock"), pytest.raises(RepositoryUnavailableError) as raised:
        local(shared_repository, state).refresh()
    assert "another process" in raised.value.what
    assert str(state / ".lock") in raised.value.remedy
    assert (state / ".lock").stat().st_mode & 0o777 == 0o600
    for folder in (state, state / "root_history"):
        assert folder.stat().st_mode & 0o777 == 0o700


def test_state_that_cannot_be_written_stops_everything_and_is_named(
    shared_repository: MadeRepository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "other" / ".lock").mkdir(parents=True)
    with pytest.raises(SecurepipError, match=r"cannot be kept in .*other") as raised:
        local(shared_repository, tmp_path / "other").refresh()
    assert "nobody can show it something older" in raised.value.meaning
    session = local(shared_repository, tmp_path / "state")

    def full(updater: Updater) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr(Updater, "refresh", full)
        with pytest.raises(SecurepipError, match=r": No space left on device\n"):
            session.refresh()
    session.refresh()


def test_a_target_is_downloaded_once_and_only_if_it_was_signed(
    made: MadeRepository, tmp_path: Path
) -> None:
    session = local(made, tmp_path / "state")
    path = "packages/app/app-1.0-py3-none-any.whl"
    for _ in range(2):
        found = session.download(path, made.folder.as_uri(), tmp_path)
        assert found == tmp_path / "packages%2Fapp%2Fapp-1.0-py3-none-any.whl"
        assert found.read_bytes() == (made.folder / path).read_bytes()
        (made.folder / path).rename(made.folder / "moved")  # is not asked for again
        for twin in (made.folder / "packages" / "app").glob("*.app-1.0-*.whl"):
            twin.unlink()
        (made.folder / "moved").rename(made.folder / path)
    with pytest.raises(VerificationError, match="has signed no"):
        session.download("packages/app/app-9.0-py3-none-any.whl", URL, tmp_path)
    other = "packages/app/app-2.0-py3-none-any.whl"
    for twin in (made.folder / "packages" / "app").glob("*app-2.0-*.whl"):
        twin.write_bytes(b"x" * twin.stat().st_size)
    with pytest.raises(VerificationError):
        session.download(other, made.folder.as_uri(), tmp_path)


def test_a_session_that_looks_anew_sees_what_was_signed_since(
    made: MadeRepository, tmp_path: Path
) -> None:
    path = "simple/fresh/index.json"
    session = local(made, tmp_path / "state")
    session.prefetch([path])
    assert session.target(path) is None
    name = made.repository.roles().bin_of(path)
    version = session.role_version(name)
    assert version > 0
    assert session.role_version("nobody") == 0
    with made.repository.lock():
        made.repository.sign({name: made.repository.roles().role(name)})
    assert session.role_version(name) == version
    session.look_anew()
    assert session.role_version(name) == version + 1, "it has refreshed"
    session.look_anew()
    session.prefetch([path])
    assert session.role_version(name) == version + 1
    url = f"{session.metadata_url}{version + 1}.{name}.json"
    assert session._fetcher.warmed(url) is not None, "it is fetched early again"


def test_the_state_is_described_as_far_as_it_can_be_read(
    shared_repository: MadeRepository, tmp_path: Path
) -> None:
    state = tmp_path / "state"
    assert describe_state(state) == []
    assert count_project_roles(state) == 0
    assert describe_names(state).startswith("not known yet")
    local(shared_repository, state).refresh()
    described = {role.name: role for role in describe_state(state)}
    assert list(described) == ["root", "timestamp", "snapshot", "targets"]
    assert (
        described["snapshot"].version
        == shared_repository.repository.roles().snapshot.signed.version
    )
    assert (
        described["snapshot"].expires
        == shared_repository.repository.roles().snapshot.signed.expires
    )
    assert describe_names(state).startswith("every role says its name and its repository; online")
    promise = state / "names-of-roles"
    promise.write_bytes(promise.read_bytes().replace(b"all", b"own"))
    assert "perhaps not; online keys cannot take that back" in describe_names(state)
    promise.unlink()
    assert "the snapshot gives the digest of each" in describe_names(state)
    snapshot = json.loads((state / "snapshot.json").read_bytes())
    meta = snapshot["signed"]["meta"]
    meta["project.app.json"] = meta["project.lib.json"] = {"version": 1}
    snapshot["signed"]["meta"]["projects.json"] = {"version": 1}
    (state / "snapshot.json").unlink()
    (state / "snapshot.json").write_text(json.dumps(snapshot))
    assert count_project_roles(state) == 2
    assert "can show an empty list of files" in describe_names(state)
    for damage in (b"", b"\xff", b"{}", b"[]", (state / "targets.json").read_bytes()):
        for name in ("timestamp", "snapshot"):
            (state / f"{name}.json").unlink()
            (state / f"{name}.json").write_bytes(damage)
        assert [role.name for role in describe_state(state)] == ["root", "targets"]
        assert count_project_roles(state) == 0
        assert describe_names(state).startswith("not known yet")


@pytest.mark.parametrize(
    "damage", [None, b"", b"\xff", b"[]", b"1", b"{}", b'{"signed": 1}', b'{"signed": {}}']
)
def test_a_role_that_is_damaged_here_is_asked_for_anew(
    shared_repository: MadeRepository, tmp_path: Path, damage: bytes | None
) -> None:
    state = tmp_path / "state"
    session = local(shared_repository, state)
    session.refresh()
    path = state / "targets.json"
    good = path.read_bytes()
    roles = session._roles
    assert roles is not None
    assert roles._is_current("targets")
    found = session._in_folder("targets")
    assert found is not None
    assert found.signed.version == session.role_version("targets")
    assert session._in_folder("root") is None, "it is no list of targets"
    (state / "nobody.json").write_bytes(good)
    assert not roles._is_current("nobody"), "the snapshot does not list it"
    path.unlink()
    if damage is not None:
        path.write_bytes(damage)
    assert not roles._is_current("targets")
    assert session._in_folder("targets") is None
    document = json.loads(good)
    document["signed"]["version"] += 1
    path.write_text(json.dumps(document))
    assert not roles._is_current("targets")


@pytest.mark.parametrize(
    ("names", "bits"),
    [
        ([], None),
        (["targets.json", "project.bin-0.json", "bin-g.json", "Bin-0.json"], None),
        (["bin-0.json"], None),  # one bin: nothing to divide
        (["bin-0.json", "bin-1.json"], 1),
        (["bin-0.json", "bin-1.json", "targets.json"], 1),
        (["bin-0.json", "bin-1.json", "bin-2.json"], None),
        ([f"bin-{number:x}.json" for number in range(16)], 4),
        ([f"bin-{number:x}.json" for number in range(17)], None),
        (["bin-0.json", "bin-1.json", "bins-0.json", "bins-1.json"], None),
    ],
)
def test_bins_divide_the_targets_as_their_names_say(names: list[str], bits: int | None) -> None:
    found = ahead._bins_by_name({name: MetaFile(1) for name in names})
    assert (found and found.bits) == bits
    if found is not None:
        assert found.prefix == "bin"
        roles, path = SuccinctRoles([], 1, found.bits, found.prefix), "simple/app/index.json"
        assert found.role_of(path) == roles.get_role_for_target(path)
        assert found.role_of(path) + ".json" in names


def test_metadata_without_an_end_is_not_read_to_its_end(
    shared_repository: MadeRepository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    get = Transport.get

    def noted(self: Transport, url: str, *, max_bytes: int) -> object:
        asked.append(max_bytes)
        return get(self, url, max_bytes=max_bytes)

    monkeypatch.setattr(Transport, "get", noted)
    fetcher = Fetcher(Transport())
    url = (shared_repository.folder / "metadata" / "timestamp.json").as_uri()
    data = fetcher.download_bytes(url, 1 << 40)
    assert fetcher.download_bytes(url, len(data)) == data
    with pytest.raises(DownloadLengthMismatchError):
        fetcher.download_bytes(url, len(data) - 1)
    fetcher.warm(url, None)
    with pytest.raises(DownloadLengthMismatchError):
        fetcher.download_bytes(url, len(data) - 1)
    assert asked == [128 << 20, len(data), len(data) - 1]
