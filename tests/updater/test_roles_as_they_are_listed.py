"""What a snapshot may list, and may not list, for a role that a client has seen before."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from packaging.utils import NormalizedName
from tuf.api.exceptions import RepositoryError
from tuf.api.metadata import Metadata, Snapshot

from securepip.errors import SecurepipError, VerificationError
from securepip.formats.digests import Sha256
from securepip.formats.layout import page_target
from securepip.formats.roles import Naming
from securepip.transport import Transport
from securepip.updater import Session, checked
from securepip.updater.checked import CheckedUpdater
from tests.support.repositories import MadeRepository

APP = page_target(NormalizedName("app"))


@contextmanager
def client(made: MadeRepository, state: Path) -> Iterator[Session]:
    with Transport() as transport:
        url = f"{made.folder.as_uri()}/metadata/"
        yield Session("made", url, state, transport, made.root.read_bytes())


def sign_again(made: MadeRepository, name: str, *, without: str | None = None) -> None:
    """Sign a role again under the same version."""
    repository = made.repository
    with repository.lock():
        roles = repository.roles()
        role, meta = roles.role(name), roles.meta(name)
        version = meta.version
        (made.folder / "metadata" / f"{version}.{name}.json").unlink()
        meta.version -= 1
        if without is not None:
            del role.signed.targets[without]
        repository.sign({name: role})
    assert repository.roles().meta(name).version == version


@pytest.mark.parametrize("checks", [True, False])
def test_a_list_of_files_is_not_signed_twice_under_one_number(
    made: MadeRepository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, checks: bool
) -> None:
    name = made.repository.roles().bin_of(APP)
    assert made.repository.roles().meta(name).hashes
    with client(made, tmp_path / "state") as session:
        assert session.target(APP) is not None
    sign_again(made, name, without=APP)
    if not checks:
        monkeypatch.setattr(checked, "check_same_version", lambda *arguments, **more: None)
        with client(made, tmp_path / "state") as session:
            assert session.target(APP) is None
        return
    with (
        client(made, tmp_path / "state") as session,
        pytest.raises(VerificationError, match="two files were signed under one number"),
    ):
        session.target(APP)


@pytest.mark.parametrize(
    ("named", "role", "is_offline"),
    [
        ("all", "targets", True),
        ("own", "bins", True),
        ("own", "claimed", True),
        ("all", "claimed.p", True),
        ("all", "claimed.py", True),
        ("all", "recently-claimed", False),
        ("all", "recently-claimed.p", False),
        ("all", "bin-0", False),
        ("all", "project.claimed", False),
        (None, "targets", False),
        (None, "claimed", False),
    ],
)
def test_what_offline_keys_sign_is_known_by_its_name_where_names_are_promised(
    named: str | None, role: str, is_offline: bool
) -> None:
    updater = CheckedUpdater.__new__(CheckedUpdater)
    updater.naming = Naming(Sha256("a" * 64), named)
    assert updater._is_of_offline_keys(role) == is_offline


@pytest.mark.parametrize(
    ("role", "seen", "is_so"),
    [("targets", 3, True), ("claimed.ap", 3, True), ("targets", 4, False), ("bin-0", 3, False)],
)
def test_only_what_offline_keys_sign_goes_never_back(role: str, seen: int, is_so: bool) -> None:
    """And not where another process has put a later snapshot into the folder."""
    updater: Any = CheckedUpdater.__new__(CheckedUpdater)
    updater.naming = Naming(Sha256("a" * 64), "all")
    updater._trusted_set = SimpleNamespace(snapshot=Snapshot(version=3))
    updater._load_local_metadata = lambda name: Metadata(Snapshot(version=seen)).to_bytes()
    assert updater._goes_only_onward(role) == is_so


def test_a_role_has_one_delegator(made: MadeRepository, tmp_path: Path) -> None:
    with client(made, tmp_path / "state") as session:
        session.refresh()
        updater = session._updater
        assert updater is not None
        assert updater.version_of("targets") == made.repository.roles().meta("targets").version
        assert updater.version_of("bins") is None
        assert updater.version_of("root") is None
        assert updater._load_targets("bins", "targets") is updater._load_targets("bins", "targets")
        with pytest.raises(RepositoryError, match="'bins' has two delegators: 'targets' and 'bin"):
            updater._load_targets("bins", "bin-0")


def test_a_role_that_is_kept_here_and_listed_no_longer_is_not_believed(
    made: MadeRepository, tmp_path: Path
) -> None:
    name = made.repository.roles().bin_of(APP)
    with client(made, tmp_path / "state") as session:
        session.refresh()
        assert session._updater is not None
        kept = (made.folder / "metadata" / f"1.{name}.json").read_bytes()
        (tmp_path / "state" / "bin-left-over.json").write_bytes(kept)
        with pytest.raises((RepositoryError, KeyError)):
            session._updater._load_targets("bin-left-over", "targets")


def test_a_wrong_role_is_not_left_in_the_place_of_the_right_one(
    made: MadeRepository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = made.repository.roles().bin_of(APP)
    with client(made, tmp_path / "state") as session:
        session.refresh()
        session.naming  # noqa: B018 - it is there before
        before = sorted((tmp_path / "state").iterdir())
        assert session._updater is not None
        session._updater.naming = Naming(Sha256("f" * 64), "all")
        with pytest.raises(VerificationError, match="was signed for the repository"):
            session.target(APP)
        assert sorted((tmp_path / "state").iterdir()) == before
        assert session._updater.version_of("claimed") is None
    with client(made, tmp_path / "state") as session:
        assert session.target(APP) is not None
    assert (tmp_path / "state" / f"{name}.json").exists()


def test_a_wrong_role_from_one_place_does_not_answer_for_the_next(
    made: MadeRepository, tmp_path: Path
) -> None:
    """One bin in another's place, both signed with one key; this snapshot lists no digests."""
    name = made.repository.roles().bin_of(APP)
    version = made.repository.roles().meta(name).version
    right = made.folder / "metadata" / f"{version}.{name}.json"
    data = right.read_bytes()
    others = right.parent.glob(f"{version}.bin-*.json")
    wrong = next(other for other in others if other != right).read_bytes()
    with client(made, tmp_path / "state") as session:
        session.refresh()
        assert session._updater is not None
        for listed in session._updater.snapshot.values():
            listed.hashes = listed.length = None
        right.write_bytes(wrong)
        with pytest.raises(VerificationError, match="is not what the repository 'made' signed"):
            session.target(APP)
        right.write_bytes(data)
        assert session.target(APP) is not None


def test_a_wrong_role_makes_nobody_forget_the_right_one(
    made: MadeRepository, tmp_path: Path
) -> None:
    """What was seen of a role protects against older files: no file that is refused removes it."""
    name = made.repository.roles().bin_of(APP)
    kept = tmp_path / "state" / f"{name}.json"
    with client(made, tmp_path / "state") as session:
        assert session.target(APP) is not None
    seen = kept.read_bytes()
    with made.repository.lock():
        roles = made.repository.roles()
        made.repository.sign({each: roles.role(each) for each in roles.bin_names()})
    version = made.repository.roles().meta(name).version
    right, *others = sorted(
        (made.folder / "metadata").glob(f"{version}.bin-*.json"),
        key=lambda one: name not in one.name,
    )
    right.write_bytes(others[0].read_bytes())
    with client(made, tmp_path / "state") as session:
        session.refresh()
        assert session._updater is not None
        for listed in session._updater.snapshot.values():
            listed.hashes = listed.length = None
        with pytest.raises(VerificationError, match="is not what the repository 'made' signed"):
            session.target(APP)
    assert kept.read_bytes() == seen


@pytest.mark.parametrize(
    ("place", "says"),
    [
        ("timestamp.json", "timestamp.json cannot be used"),
        ("snapshot.json", "snapshot.json cannot be used"),
        ("targets.json", "targets.json cannot be used"),
        ("root_history/2.root.json", "2.root.json cannot be used: it does not follow"),
    ],
)
def test_state_that_cannot_be_read_is_not_taken_for_none(
    made: MadeRepository, tmp_path: Path, place: str, says: str
) -> None:
    state = tmp_path / "state"
    with client(made, state) as session:
        session.refresh()
    (state / place).unlink(missing_ok=True)
    if place.startswith("root"):
        (state / place).write_bytes(b"no root")
    else:
        (state / place).mkdir()
    with client(made, state) as session, pytest.raises(SecurepipError) as raised:
        session.refresh()
    assert says in raised.value.what
    assert "nobody can show it something older" in raised.value.meaning


def test_a_promise_is_written_once_and_kept(made: MadeRepository, tmp_path: Path) -> None:
    state = tmp_path / "state"
    promise = state / "names-of-roles"
    with client(made, state) as session:
        session.refresh()
        assert session.naming == Naming(made.root_sha256, "all")
    written = promise.stat().st_ino
    with client(made, state) as session:
        session.refresh()
    assert promise.stat().st_ino == written
    assert promise.read_bytes().count(made.root_sha256.encode()) == 1


def test_what_offline_keys_sign_is_compared_also_where_no_digest_is_listed(
    made: MadeRepository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with client(made, tmp_path / "state") as session:
        assert session.target(APP) is not None
    compared: list[str] = []
    monkeypatch.setattr(
        checked, "check_same_version", lambda role, *arguments, **more: compared.append(role)
    )
    with client(made, tmp_path / "state") as session:
        session.refresh()
        assert session._updater is not None
        for listed in session._updater.snapshot.values():
            listed.hashes = None
        assert session.target(APP) is not None
    assert {"claimed", "bins"} <= set(compared)


def test_what_a_session_has_seen_is_kept_when_it_ends(made: MadeRepository, tmp_path: Path) -> None:
    with client(made, tmp_path / "state") as session:
        session.refresh()
        session.seen.add(NormalizedName("app"))
        assert not (tmp_path / "state" / "projects-seen").exists()
        del session
    gc.collect()
    assert (tmp_path / "state" / "projects-seen").read_text() == "app\n"
