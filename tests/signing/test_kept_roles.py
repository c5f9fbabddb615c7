"""The roles that a signing process keeps between signatures are the signed ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from securepip.errors import RepositoryStateError
from securepip.signing.repository.commit import Committer
from securepip.signing.repository.repository import Repository
from securepip.signing.repository.state.later import Aside
from tests.support.repositories import MadeRepository, make_repository


@pytest.fixture
def made(tmp_path: Path) -> MadeRepository:
    return make_repository(tmp_path / "own", expected_files=1)


def test_a_root_that_another_process_has_signed_is_seen_under_the_same_timestamp(
    made: MadeRepository,
) -> None:
    assert made.repository.roles().root.signed.version == 1
    with Repository.open(made.folder, keys=[made.offline_keys]) as other, other.lock():
        other.sign_root()
    assert made.repository.roles().root.signed.version == 2


def test_a_root_that_could_not_be_signed_is_not_taken_for_the_current_one(
    made: MadeRepository,
) -> None:
    made.offline_keys.rename(made.offline_keys.with_name("elsewhere"))
    with Repository.open(made.folder) as repository:
        with repository.lock(), pytest.raises(RepositoryStateError, match="key"):
            repository.sign_root()
        assert repository.roles().root.signed.version == 1


def test_a_bin_that_was_read_before_it_was_changed_in_place_is_read_again(
    made: MadeRepository,
) -> None:
    repository = made.repository
    with repository.lock():
        name = next(repository.roles().bin_names())
        before = repository.roles().role(name).signed.version
        repository.sign({}, bins=[(name, b"")])
        assert repository.roles().role(name).signed.version == before + 1


def test_a_root_that_was_written_is_verified_when_it_is_read(made: MadeRepository) -> None:
    """The written object stays in memory: without the check, any change of it would be accepted."""
    repository = made.repository
    with repository.lock():
        root = repository.roles().root
        root.signed.version += 1
        root.signatures.clear()
        repository.write_root(root)
    with pytest.raises(RepositoryStateError, match="root is not signed as it has to be"):
        repository.roles()


def test_what_is_kept_of_bins_in_files_is_dropped_where_they_do_not_become_current(
    made: MadeRepository, monkeypatch: pytest.MonkeyPatch
) -> None:
    files: list[Aside[Any]] = []
    begin = Aside.__init__

    def seen(aside: Aside[Any], *arguments: Any) -> None:
        begin(aside, *arguments)
        files.append(aside)

    def failing(*_: object, **__: object) -> bytes:
        raise RepositoryStateError("no timestamp")

    monkeypatch.setattr(Aside, "__init__", seen)
    monkeypatch.setattr(Committer, "renew_timestamp", failing)
    repository = made.repository
    with repository.lock(), pytest.raises(RepositoryStateError, match="no timestamp"):
        repository.sign({}, bins=[(next(repository.roles().bin_names()), b"")])
    assert [each._file.closed for each in files] == [True, True]
