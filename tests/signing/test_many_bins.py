"""Several processes change bins in place."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from packaging.utils import NormalizedName
from securesystemslib.formats import encode_canonical
from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import Metadata, MetaFile, Snapshot, TargetFile, Targets

from securepip.errors import RepositoryStateError
from securepip.formats.page import PageFile, ProjectPage
from securepip.signing.keys.canonical import CANONICAL, COMPACT, add_signature, sign_anew
from securepip.signing.publish.accounted import check_own
from securepip.signing.publish.refresh import refresh
from securepip.signing.repository import bins, commit
from securepip.signing.repository.storage.local import LocalStorage
from tests.support.repositories import MadeRepository, make_repository


def _pages(count: int) -> dict[NormalizedName, ProjectPage | None]:
    return {
        NormalizedName(f"p{number}"): ProjectPage(
            NormalizedName(f"p{number}"),
            (PageFile(f"p{number}-1.0.tar.gz", "https://e.org/x", f"{number:064x}", 1),),  # type: ignore[arg-type] # a digest
        )
        for number in range(count)
    }


@pytest.fixture
def many(tmp_path: Path) -> MadeRepository:
    return make_repository(tmp_path / "own", expected_files=300)


@pytest.mark.parametrize("worth", [1, 1 << 30], ids=["in processes", "in this process"])
def test_what_is_changed_in_place_is_what_was_signed_and_what_is_known(
    many: MadeRepository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, worth: int
) -> None:
    monkeypatch.setattr(bins, "WORTH_PROCESSES", worth)
    repository = many.repository
    pages = _pages(120)
    done = repository.publish(pages)
    assert sum(name.startswith("bin-") for name in done.signed) >= bins.MANY
    *_, last = repository.log.entries()
    (online,) = repository.roles().root.signed.roles["timestamp"].keyids
    assert {each.role for each in last.signed} == set(done.signed)
    assert {each.keyids for each in last.signed} == {(online,)}
    gone = NormalizedName("p7")
    repository.publish({**pages, gone: None})
    check_own(repository)
    counts = repository.known().counts()
    assert (counts.projects, counts.files) == (119, 119)
    assert repository.rebuild_known() == []
    assert repository.page(gone) is None
    with repository.lock():
        every = [(name, b"") for name in repository.roles().bin_names()]
        repository.sign({}, bins=every)
    check_own(repository)
    assert repository.rebuild_known() == []
    assert refresh(repository).signed == ()


def test_a_bin_that_somebody_changed_is_not_signed_again(many: MadeRepository) -> None:
    repository = many.repository
    name = next(repository.roles().bin_names())
    path = many.folder / "metadata" / f"{repository.roles().meta(name).version}.{name}.json"
    forged = json.loads(path.read_bytes())
    forged["signed"]["targets"]["packages/evil/evil-1.0.tar.gz"] = {
        "length": 1,
        "hashes": {"sha256": "0" * 64},
    }
    path.write_text(json.dumps(forged))
    before = (many.folder / "metadata" / "timestamp.json").read_bytes()
    every = [(each, b"") for each in repository.roles().bin_names()]
    with repository.lock(), pytest.raises(RepositoryStateError, match="not signed as it has to be"):
        repository.sign({}, bins=every)
    assert (many.folder / "metadata" / "timestamp.json").read_bytes() == before


@pytest.mark.parametrize("forgery", ["other contents", "another version", "another bin"])
def test_a_bin_that_a_thief_of_the_key_has_signed_is_not_signed_again(
    many: MadeRepository, monkeypatch: pytest.MonkeyPatch, forgery: str
) -> None:
    """Its signature is valid. A bin with a digest is checked by that, others by their contents."""
    monkeypatch.setattr(commit, "MAX_PINNED_BINS", 256 if forgery == "other contents" else 0)
    repository = many.repository
    name, other, *_ = repository.roles().bin_names()
    every = [(each, b"") for each in repository.roles().bin_names()]
    with repository.lock():
        repository.sign({}, bins=every)
    roles = repository.roles()
    key = roles.holders(name).keys[0]
    signer = repository.keys.find(key)
    assert signer is not None
    forged = roles.read_once(other if forgery == "another bin" else name)
    if forgery == "other contents":
        forged.signed.expires += timedelta(days=1)
    elif forgery == "another version":
        forged.signed.version += 1
    forged.signatures.clear()
    add_signature(forged, signer, name)
    path = many.folder / "metadata" / f"{roles.meta(name).version}.{name}.json"
    path.write_bytes(forged.to_bytes())
    before = (many.folder / "metadata" / "timestamp.json").read_bytes()
    why = other if forgery == "another bin" else "is not the one that was made current"
    with repository.lock(), pytest.raises(RepositoryStateError, match=why):
        repository.sign({}, bins=every)
    assert (many.folder / "metadata" / "timestamp.json").read_bytes() == before


def test_a_project_changes_once_in_a_snapshot(many: MadeRepository) -> None:
    with many.repository.lock():
        batch = many.repository.batch()
        batch.stage(_pages(1))
        with pytest.raises(RepositoryStateError, match="p0 is to change twice in one snapshot"):
            batch.stage(_pages(1))


@pytest.mark.parametrize(
    "path", ["packages/a/a-1.0.whl", 'a"b', "a\\b", "a\nb", "a\x7fb", "é", "\u2028", "𝄞"]
)
def test_the_bytes_that_are_made_fast_are_those_of_the_libraries(path: str) -> None:
    target = TargetFile(1, {"sha256": "0" * 64}, path)
    odd = TargetFile(2, {"sha256": "1" * 64}, "x", unrecognized_fields={"custom": {"b": [1, None]}})
    signed = Targets(targets={path: target}, unrecognized_fields={"x": path})
    both = Targets(targets={path: target, "x": odd})
    listed = {path: MetaFile(1, 2, {"sha256": "2" * 64}), "x": MetaFile(3)}
    for each in (signed, both, Snapshot(), Snapshot(meta=listed)):
        assert CANONICAL.serialize(each).decode() == encode_canonical(each.to_dict())
        metadata: Metadata[Any] = Metadata(each)
        written = sign_anew(metadata, [CryptoSigner.generate_ed25519()], "bin-0")
        assert written == metadata.to_bytes(COMPACT)
        assert Metadata.from_bytes(written) == metadata


def test_what_other_processes_have_written_is_waited_for(
    many: MadeRepository, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise a power failure could leave a timestamp that leads to empty files."""
    monkeypatch.setattr(bins, "WORTH_PROCESSES", 1)
    noted: list[str] = []
    monkeypatch.setattr(LocalStorage, "note", lambda self, name: noted.append(name))
    repository = many.repository
    every = [(name, b"") for name in repository.roles().bin_names()]
    with repository.lock():
        repository.sign({}, bins=every)
    roles = repository.roles()
    assert noted == [f"metadata/{roles.meta(name).version}.{name}.json" for name, _ in every]
