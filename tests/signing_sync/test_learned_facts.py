"""What servers say of files whose index says little: remembered for a while, never for ever."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from securepip.errors import RepositoryStateError
from securepip.formats.digests import sha256_of
from securepip.formats.page import PageFile
from securepip.signing.overlay import accept_change, memory
from tests.signing_sync.conftest import Sync
from tests.support.indexes import Index, OfferedFile, project
from tests.support.repositories import MadeRepository
from tests.support.wheels import make_wheel

OCTETS = "application/octet-stream"


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What was learned is old when the next sync begins."""
    monkeypatch.setattr(memory, "RECHECK_SECONDS", 0.0)
    yield


def signed(overlay: MadeRepository, file: OfferedFile) -> PageFile:
    page = overlay.repository.page(project("app"))
    found = page.file(file.filename) if page else None
    assert found is not None
    return found


def offer_without_length(index: Index, tmp_path: Path) -> OfferedFile:
    """A wheel of which only its server tells the length; the first answer is cut short."""
    index.speaks_json = index.serves_parts = False
    (file,) = index.offer(make_wheel(tmp_path, "app", "1.0"))
    index.raw[f"/files/{file.filename}"] = (200, OCTETS, b"a part of it")
    return file


def offer_without_metadata(index: Index, tmp_path: Path) -> OfferedFile:
    """A wheel whose index tells of no ``.metadata``; the first that is tried is wrong."""
    index.says_metadata = False
    (file,) = index.offer(make_wheel(tmp_path, "app", "1.0"))
    index.raw[f"/files/{file.filename}.metadata"] = (200, OCTETS, b"Name: something else")
    return file


@pytest.mark.usefixtures("at_once")
def test_a_length_that_was_told_wrongly_is_asked_for_again(
    index: Index, overlay: MadeRepository, run: Sync, tmp_path: Path
) -> None:
    file = offer_without_length(index, tmp_path)
    run("app")
    assert signed(overlay, file).size != len(file.data)
    index.raw.clear()
    run("app")
    assert signed(overlay, file).size == len(file.data)


def test_a_length_is_not_asked_for_again_within_a_week(
    index: Index, run: Sync, tmp_path: Path
) -> None:
    offer_without_length(index, tmp_path)
    run("app")
    index.seen.clear()
    assert run("app").unchanged == 1
    assert index.seen == ["GET /simple/app/"]


@pytest.mark.usefixtures("at_once")
def test_an_old_length_and_metadata_are_kept_where_nobody_answers(
    index: Index, overlay: MadeRepository, run: Sync, tmp_path: Path
) -> None:
    index.speaks_json = index.says_metadata = False
    (file,) = index.offer(make_wheel(tmp_path, "app", "1.0"))
    run("app")
    before = signed(overlay, file)
    assert (before.size, before.core_metadata) == (len(file.data), sha256_of(file.metadata or b""))
    index.raw[f"/files/{file.filename}"] = (500, OCTETS, b"")
    index.raw[f"/files/{file.filename}.metadata"] = (500, OCTETS, b"")
    report = run("app")
    assert (report.problems, report.left_out) == ([], {})
    assert signed(overlay, file) == before


@pytest.mark.usefixtures("at_once")
def test_a_metadata_file_that_was_wrong_when_it_was_tried_is_tried_again(
    index: Index, overlay: MadeRepository, run: Sync, tmp_path: Path
) -> None:
    file = offer_without_metadata(index, tmp_path)
    run("app")
    assert signed(overlay, file).core_metadata != sha256_of(file.metadata or b"")
    index.raw.clear()
    run("app")
    assert signed(overlay, file).core_metadata == sha256_of(file.metadata or b"")


@pytest.mark.usefixtures("at_once")
def test_requirements_are_read_again_when_the_metadata_turn_out_to_be_others(
    index: Index, overlay: MadeRepository, run: Sync, tmp_path: Path
) -> None:
    index.says_metadata = False
    (file,) = index.offer(make_wheel(tmp_path, "app", "1.0", requires=["lib"]))
    index.offer(make_wheel(tmp_path, "lib", "1.0"))
    wrong = b"Metadata-Version: 2.1\nName: app\nVersion: 1.0\n"
    index.raw[f"/files/{file.filename}.metadata"] = (200, OCTETS, wrong)
    run("app", with_dependencies=True)
    assert overlay.repository.projects() == ["app"]
    index.raw.clear()
    run("app", with_dependencies=True)
    assert overlay.repository.projects() == ["app", "lib"]


@pytest.mark.usefixtures("at_once")
def test_metadata_that_contradict_their_wheel_stay_unsigned_however_old_that_knowledge_is(
    index: Index, overlay: MadeRepository, run: Sync, tmp_path: Path
) -> None:
    (file,) = index.offer(make_wheel(tmp_path, "app", "1.0"))
    file.metadata = b"Metadata-Version: 2.1\nName: app\nVersion: 1.0\nRequires-Dist: evil\n"
    file.fields = {"core-metadata": {"sha256": "0" * 64}}
    run("app", with_dependencies=True)
    assert signed(overlay, file).core_metadata is None
    index.offer(make_wheel(tmp_path, "app", "2.0"))
    run("app")
    assert signed(overlay, file).core_metadata is None


def test_new_files_of_an_index_that_tells_of_no_metadata_are_tried_too(
    index: Index, overlay: MadeRepository, run: Sync, tmp_path: Path
) -> None:
    index.says_metadata = False
    index.offer(make_wheel(tmp_path, "app", "1.0"))
    run("app")
    (new,) = index.offer(make_wheel(tmp_path, "app", "2.0"))
    run("app")
    assert signed(overlay, new).core_metadata == sha256_of(new.metadata or b"")


@pytest.mark.parametrize("offer", [offer_without_length, offer_without_metadata])
def test_accepting_a_file_has_everything_about_it_asked_for_again(
    index: Index, overlay: MadeRepository, run: Sync, tmp_path: Path, offer: object
) -> None:
    assert callable(offer)
    file = offer(index, tmp_path)
    run("app")
    index.raw.clear()
    assert run("app").unchanged == 1
    assert accept_change(overlay.repository, file.filename) == ([], ["app"])
    run("app")
    found = signed(overlay, file)
    assert (found.size, found.core_metadata) == (len(file.data), sha256_of(file.metadata or b""))


def test_a_file_of_which_nothing_was_refused_or_learned_cannot_be_accepted(
    index: Index, overlay: MadeRepository, run: Sync, tmp_path: Path
) -> None:
    (file,) = index.offer(make_wheel(tmp_path, "app", "1.0"))
    run("app")
    with pytest.raises(RepositoryStateError):
        accept_change(overlay.repository, file.filename)
