"""The online key is replaced, and the new one is stolen: claims that a client has seen still hold.

If root names new keys for the snapshot, a client forgets the snapshot that it had, as TUF requires:
a thief of the old keys may have signed high versions. The client then also forgets which versions
of all other roles it has seen in that snapshot.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from packaging.utils import NormalizedName
from tuf.api.metadata import MetaFile

from securepip.errors import VerificationError
from securepip.formats.layout import page_target
from securepip.signing.claims.promote import promote
from securepip.signing.offline.rotate import NewKeys, rotate
from securepip.signing.repository.repository import Repository
from securepip.transport import Transport
from securepip.updater import Session, checked
from tests.support.maintainers import Maintainers, claim
from tests.support.repositories import MadeRepository, make_repository
from tests.support.wheels import make_wheel

APP = page_target(NormalizedName("app"))


@contextmanager
def client(made: MadeRepository, state: Path) -> Iterator[Session]:
    with Transport() as transport:
        url = f"{made.folder.as_uri()}/metadata/"
        yield Session("made", url, state, transport, made.root.read_bytes())


@pytest.mark.parametrize("checks", [True, False])
def test_a_claim_that_was_seen_is_not_hidden_by_a_thief_of_the_new_online_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, checks: bool
) -> None:
    made = make_repository(
        tmp_path / "repository", make_wheel(tmp_path, "app", "1.0"), expected_files=1
    )
    state = tmp_path / "state"
    with Repository.open(made.folder, keys=[made.offline_keys]) as repository:
        claim(replace(made, repository=repository), "app", Maintainers.of(1))
        promote(repository)
        with client(made, state) as session:
            assert session.target(APP) is not None
        rotate(repository, "online", NewKeys(made.online_keys))
        # Only `claimed` is older, with a genuine signature of the offline key.
        with repository.lock():
            listed = repository.roles().snapshot.signed.meta
            before, listed["claimed.json"] = listed["claimed.json"], MetaFile(1)
            repository.sign({})
        if not checks:
            monkeypatch.setattr(checked, "check_same_version", lambda *arguments, **more: None)
            with client(made, state) as session:
                assert session.target(APP) is None
            return
        for _ in range(2):
            with (
                client(made, state) as session,
                pytest.raises(VerificationError, match="'claimed' was seen at version 2"),
            ):
                session.target(APP)
        with repository.lock():
            repository.roles().snapshot.signed.meta["claimed.json"] = before
            repository.sign({})
        with client(made, state) as session:
            assert session.target(APP) is not None


def test_a_session_of_an_earlier_moment_goes_on_where_another_process_has_seen_more(
    tmp_path: Path,
) -> None:
    made = make_repository(
        tmp_path / "repository", make_wheel(tmp_path, "app", "1.0"), expected_files=1
    )
    state = tmp_path / "state"
    with Repository.open(made.folder, keys=[made.offline_keys]) as repository:
        claim(replace(made, repository=repository), "app", Maintainers.of(1))
        with client(made, state) as first:
            first.refresh()
            promote(repository)
            with client(made, state) as second:
                assert second.target(APP) is not None
            assert first.target(APP) is not None
