"""The state that a machine keeps besides the metadata, and that a server cannot take back."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from contextlib import ExitStack
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from filelock import FileLock
from packaging.utils import canonicalize_name
from securesystemslib.signer import CryptoSigner
from tuf.api.exceptions import RepositoryError
from tuf.api.metadata import DelegatedRole, Delegations, Metadata, MetaFile, Targets

from securepip.errors import SecurepipError
from securepip.formats.digests import Sha256, sha256_of
from securepip.formats.layout import ALL_ROLES, OWN_ROLES
from securepip.formats.roles import Naming
from securepip.transport import Transport
from securepip.updater.checked import known_naming
from securepip.updater.same_version import check_same_version
from securepip.updater.seen import Seen
from securepip.updater.session import Session

APP, LIB = canonicalize_name("app"), canonicalize_name("lib")
DIGEST = Sha256("a" * 64)


def test_what_was_seen_is_kept_with_what_others_saw_meanwhile(tmp_path: Path) -> None:
    one, other = Seen(tmp_path), Seen(tmp_path)
    assert APP not in one
    one.add(APP)
    assert APP in one
    assert APP not in Seen(tmp_path), "it is written at the end of the run"
    one.keep()
    other.add(LIB)
    other.keep()
    assert (tmp_path / "projects-seen").read_text() == "app\nlib\n"
    assert APP in Seen(tmp_path)
    written = (tmp_path / "projects-seen").stat().st_ino
    one.keep()
    for project in (APP, LIB):
        other.add(project)
    other.keep()
    assert (tmp_path / "projects-seen").stat().st_ino == written, "nothing was new"


def test_what_a_person_has_forgotten_is_forgotten_and_nothing_else(tmp_path: Path) -> None:
    seen = Seen(tmp_path)
    for project in (APP, LIB):
        seen.add(project)
    seen.keep()
    assert LIB in seen
    assert seen.forget(APP)
    assert APP not in seen
    assert LIB in seen
    assert not seen.forget(APP)
    assert (tmp_path / "projects-seen").read_text() == "lib\n"


def test_what_is_forgotten_is_forgotten_where_it_was_not_kept_yet(tmp_path: Path) -> None:
    seen = Seen(tmp_path)
    seen.add(APP)
    assert not seen.forget(APP)
    assert APP not in seen


@pytest.mark.parametrize("how", ["held by another", "no file"])
def test_names_that_cannot_be_changed_are_said_and_end_no_run(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    monkeypatch.setattr("securepip.updater.seen._LOCK_SECONDS", 0.01)
    (tmp_path / "projects-seen").write_text("lib\n")
    seen = Seen(tmp_path)
    seen.add(APP)
    with ExitStack() as held:
        if how == "no file":
            (tmp_path / ".projects-seen.lock").mkdir()
        else:
            held.enter_context(FileLock(tmp_path / ".projects-seen.lock"))
        with pytest.raises(SecurepipError, match="projects-seen cannot be changed"):
            Seen(tmp_path).forget(LIB)
        with caplog.at_level(logging.WARNING):
            seen.keep()
        assert "cannot be written" in caplog.text
    (tmp_path / "projects-seen").unlink()
    (tmp_path / "projects-seen").mkdir()
    with pytest.raises(SecurepipError, match="projects-seen cannot be read"):
        assert APP not in Seen(tmp_path)


def test_names_that_cannot_be_read_are_not_taken_for_none(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "projects-seen").write_bytes(b"\xff")
    seen = Seen(tmp_path)
    with pytest.raises(SecurepipError, match="cannot be read"):
        assert APP not in seen
    with pytest.raises(SecurepipError):
        seen.forget(APP)
    seen.add(APP)
    with caplog.at_level(logging.WARNING):
        seen.keep()
    assert "cannot be written" in caplog.text
    assert (tmp_path / "projects-seen").read_bytes() == b"\xff"
    (tmp_path / "projects-seen").write_text("lib\n")
    seen.keep()
    assert (tmp_path / "projects-seen").read_text() == "app\nlib\n", "it is tried again"


@pytest.mark.parametrize(
    "damage",
    [
        b"",
        b"\xff",
        b"[]",
        b"{}",
        b"null",
        json.dumps({"repository": "no digest", "named": ALL_ROLES}).encode(),
        json.dumps({"repository": DIGEST, "named": "something"}).encode(),
        json.dumps({"repository": DIGEST, "named": None}).encode(),
        json.dumps({"repository": DIGEST}).encode(),
        None,
    ],
)
def test_a_promise_that_was_damaged_is_not_passed_over(
    tmp_path: Path, damage: bytes | None
) -> None:
    if damage is None:
        (tmp_path / "names-of-roles").mkdir()
    else:
        (tmp_path / "names-of-roles").write_bytes(damage)
    with pytest.raises(SecurepipError, match="cannot be read"):
        known_naming(tmp_path)


def test_a_promise_is_known_again_and_is_of_the_repository_that_gave_it(tmp_path: Path) -> None:
    assert known_naming(tmp_path) == Naming()
    root = tmp_path / "root_history" / "1.root.json"
    root.parent.mkdir()
    root.write_bytes(b"root")
    assert known_naming(tmp_path) == Naming(sha256_of(b"root"))
    for named in (OWN_ROLES, ALL_ROLES):
        document = {"repository": sha256_of(b"root"), "named": named}
        (tmp_path / "names-of-roles").write_text(json.dumps(document))
        assert known_naming(tmp_path) == Naming(sha256_of(b"root"), named)
    (tmp_path / "names-of-roles").write_text(json.dumps({**document, "repository": DIGEST}))
    with pytest.raises(SecurepipError, match="cannot be read"):
        known_naming(tmp_path)


SIGNER, THIEF = CryptoSigner.generate_ed25519(), CryptoSigner.generate_ed25519()


def signed(version: int, signer: CryptoSigner = SIGNER) -> bytes:
    expires = datetime.now(timezone.utc) + timedelta(days=1)
    metadata = Metadata(Targets(version=version, expires=expires))
    metadata.sign(signer)
    return metadata.to_bytes()


def listed(version: int, data: bytes | None = None) -> MetaFile:
    return MetaFile(version) if data is None else MetaFile.from_data(version, data, ["sha256"])


DELEGATOR = Targets(
    delegations=Delegations(
        {SIGNER.public_key.keyid: SIGNER.public_key},
        roles={"one": DelegatedRole("one", [SIGNER.public_key.keyid], 1, False, paths=["*"])},
    )
)


@pytest.mark.parametrize(
    ("known", "now", "goes_onward", "is_refused"),
    [
        (signed(2), None, True, False),
        (signed(2), listed(2, b"signed a second time"), True, True),
        (signed(2), listed(2), True, False),  # only digests can tell
        (signed(2), listed(3, b"newer"), True, False),
        (signed(2), listed(1, b"older"), True, True),
        (signed(2), listed(1), True, True),
        (signed(2), listed(1, b"older"), False, False),
        (signed(2, THIEF), listed(2, b"other"), True, False),  # no evidence
        (signed(2, THIEF), listed(1, b"older"), True, False),
        (b"no metadata", listed(2, b"other"), True, False),
    ],
)
def test_no_other_file_is_listed_under_a_number_that_is_known(
    known: bytes, now: MetaFile | None, goes_onward: bool, is_refused: bool
) -> None:
    only_onward: Callable[[], bool] = lambda: goes_onward  # noqa: E731
    if is_refused:
        with pytest.raises(RepositoryError, match="was seen at version 2"):
            check_same_version("one", known, now, DELEGATOR, only_onward=only_onward)
    else:
        check_same_version("one", known, now, DELEGATOR, only_onward=only_onward)


def test_the_file_that_is_listed_is_the_one_that_is_known() -> None:
    known = signed(2)
    check_same_version("one", known, listed(2, known), DELEGATOR, only_onward=lambda: True)


def test_a_role_whose_keys_nobody_names_any_more_is_no_evidence() -> None:
    other = listed(2, b"other")
    check_same_version("nobody", signed(2), other, DELEGATOR, only_onward=lambda: True)


def test_a_session_keeps_nothing_in_a_folder_that_others_may_write_to(tmp_path: Path) -> None:
    state = tmp_path / "state"
    (state / "root_history").mkdir(parents=True, mode=0o700)
    state.chmod(0o777)
    with Transport() as transport, pytest.raises(SecurepipError, match="not yours alone"):
        Session("made", "https://packages.example.org/metadata/", state, transport, b"").refresh()
