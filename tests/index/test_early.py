"""The index prefetches, and verifies prefetched files as all others."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from packaging.utils import NormalizedName
from tuf.api.metadata import TargetFile

import securepip.index
from securepip.errors import (
    FormatError,
    TooSlowError,
    UntrustedError,
    VerificationError,
)
from securepip.formats.digests import sha256_of
from securepip.formats.layout import consistent_path
from securepip.formats.page import MAX_PAGE_BYTES, PageFile
from securepip.index import DeferredIndex, Store, UserDirectory, VerifiedIndex
from securepip.index.received import Received
from securepip.index.signed import LocatedPage, SignedFile, agreed, expected
from securepip.transport import Transport
from tests.index.noted import (
    ALPHA,
    ALPHA_1,
    ALPHA_2,
    GAMMA,
    UNKNOWN,
    Asked,
    Told,
    file_of,
    opened,
    trusting,
)
from tests.support.repositories import MadeRepository

# ------------------------------------------------------------ what is begun early


@pytest.mark.parametrize("installs", [True, False])
def test_metadata_is_begun_for_all_that_may_be_chosen_and_the_first_file_where_it_is_installed(
    local: MadeRepository, tmp_path: Path, asked: Asked, installs: bool
) -> None:
    index = opened(tmp_path, trusting(tmp_path, local), installs=installs)
    files = [file_of(index, name) for name in (ALPHA_2, ALPHA_1)]
    asked.now.clear()
    index.prefetch_metadata(UNKNOWN, files)
    index.prefetch_metadata(ALPHA, [*files, files[0]._replace(filename="alpha-9.zip")])
    wheels = [ALPHA_2] if installs else []
    assert asked.early == [f"{ALPHA_2}.metadata", f"{ALPHA_1}.metadata", *wheels]
    assert asked.prefetched == [("made", [f"packages/alpha/{ALPHA_2}"], False)]
    assert all(index.core_metadata(ALPHA, file) for file in files)
    told = Told()
    index._downloads = told
    (fetched,) = index.fetch([(ALPHA, files[0])])
    assert told.sizes == [[files[0].size]]
    assert told.begun == [(ALPHA_2, files[0].size)]
    assert sum(told.received) == files[0].size
    assert sha256_of(fetched.path.read_bytes()) == files[0].sha256
    assert asked.now == ([] if installs else [ALPHA_2])
    assert told.kept == []
    index.fetch([(ALPHA, files[0])])
    assert told.kept == [(ALPHA_2, files[0].size)]
    assert len(told.begun) == 1


def test_a_slow_mirror_ends_a_question_for_metadata_and_a_missing_file_does_not(
    local: MadeRepository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = opened(tmp_path, trusting(tmp_path, local))
    file = file_of(index, ALPHA_1)

    def slow(*_: object) -> bytes:
        raise TooSlowError("it drips", url="https://packages.example.org/")

    monkeypatch.setattr(Received, "bytes_of", slow)
    with pytest.raises(TooSlowError):
        index.core_metadata(ALPHA, file)
    assert index.core_metadata(ALPHA, file._replace(core_metadata=None))
    located = index.located(ALPHA)
    assert located is not None
    with pytest.raises(FormatError, match="signs no metadata"):
        index.read_metadata(located, file._replace(core_metadata=None))


def located_page(local: MadeRepository, folder: Path) -> LocatedPage:
    located = opened(folder, trusting(folder, local)).located(ALPHA)
    assert located is not None
    return located


def test_only_files_up_to_a_quarter_of_a_megabyte_are_begun_before_they_are_chosen(
    local: MadeRepository, tmp_path: Path, asked: Asked
) -> None:
    located = located_page(local, tmp_path)
    received = Received(Transport(), Store(tmp_path / "empty"))
    sizes = {"b": 256 << 10, "c": (256 << 10) + 1, "d": None}
    files = [PageFile(name, name, sha256_of(b""), size) for name, size in sizes.items()]
    received.begin_small(located, files)
    received.begin_small(located, files)
    assert asked.early == ["b"]
    kept = sha256_of(b"kept")
    received._store.add(kept, b"kept")
    received.begin(f"{tmp_path.as_uri()}/kept", 4, kept)
    assert asked.early == ["b"]


def test_bytes_are_fetched_once_and_are_what_was_signed(tmp_path: Path, asked: Asked) -> None:
    file = tmp_path / "it"
    url, data = file.as_uri(), b"as it was signed"
    received = Received(Transport(), Store(tmp_path / "store"))
    for wrong, match in ((data + b"!", "more than the signed 16 bytes"), (b"!" * 16, "sha256 ")):
        file.write_bytes(wrong)
        with pytest.raises(VerificationError, match=match):
            received.bytes_of(url, len(data), sha256_of(data), "it")
    file.write_bytes(data)
    asked.now.clear()
    for _ in range(2):
        assert received.bytes_of(url, len(data), sha256_of(data), "it") == data
    assert asked.now == ["it"]


def test_a_signed_page_that_is_too_long_or_cannot_be_read_is_refused(
    local: MadeRepository, tmp_path: Path
) -> None:
    (repository,) = trusting(tmp_path, local).repositories
    repository = replace(repository, location=tmp_path.as_uri() + "/")
    received = Received(Transport(), Store(tmp_path / "store"))
    path = "simple/alpha/index.json"

    def read(length: int, data: bytes) -> LocatedPage:
        sha256 = sha256_of(data)
        place = tmp_path / consistent_path(path, sha256)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(data)
        return received.page(repository, TargetFile(length, {"sha256": sha256}, path), ALPHA)

    with pytest.raises(VerificationError, match="cannot be read, although"):
        read(2, b"{}")
    with pytest.raises(VerificationError, match=f"has {MAX_PAGE_BYTES + 1} bytes"):
        read(MAX_PAGE_BYTES + 1, b"[]")
    with pytest.raises(VerificationError, match="cannot be read, although"):
        read(MAX_PAGE_BYTES, b"[]")
    with pytest.raises(VerificationError, match="without a sha256"):
        expected(TargetFile(1, {"sha512": "0" * 128}, path))


@pytest.mark.parametrize(
    ("data", "match"), [(b"signed!", "not what was signed"), (b"SIGNED", "not what was signed")]
)
def test_a_distribution_is_of_its_project_and_what_was_signed(
    tmp_path: Path, data: bytes, match: str
) -> None:
    file = tmp_path / ALPHA_1
    file.write_bytes(data)
    page_file = PageFile(ALPHA_1, file.as_uri(), sha256_of(b"signed"), 6)
    target = TargetFile(6, {"sha256": page_file.sha256}, f"packages/alpha/{ALPHA_1}")
    signed = SignedFile(ALPHA, page_file, file.as_uri(), "made", target)
    store = Store(tmp_path / "store")
    received = Received(Transport(), store)
    with pytest.raises(VerificationError, match="not a distribution of gamma"):
        received.distribution(replace(signed, project=GAMMA))
    with pytest.raises(VerificationError, match=match):
        received.distribution(signed)
    received.begin(file.as_uri(), 6, page_file.sha256)
    with pytest.raises(VerificationError, match=match):
        received.distribution(signed)
    assert not store.has(page_file.sha256)
    file.write_bytes(b"signed")
    verified = received.distribution(signed)
    assert verified.path.read_bytes() == b"signed"
    assert "seal" not in repr(verified)


def test_where_one_repository_is_enough_its_page_is_taken_as_it_is(
    local: MadeRepository, tmp_path: Path
) -> None:
    located = located_page(local, tmp_path)
    assert agreed([located, located], 1) is located
    assert agreed([located, located], 2).page == located.page
    none = replace(located, page=replace(located.page, files=()))
    assert agreed([located, none], 2).page.files == ()
    assert agreed([located, none, located], 2).page == located.page
    assert agreed([located, none, located], 3).page.files == ()
    folder = UserDirectory(tmp_path, tmp_path.as_uri(), "named")
    assert (folder.filename, folder.editable) == (str(tmp_path), False)
    with pytest.raises(AttributeError, match="nothing"):
        _ = securepip.index.nothing


# ------------------------------------------------------------------- asked later


def test_what_is_begun_early_holds_up_no_exit_and_raises_what_failed_when_it_is_asked(
    local: MadeRepository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    goes_on = threading.Event()

    def fails(self: VerifiedIndex, projects: Iterable[NormalizedName]) -> None:
        goes_on.wait(60)
        raise ArithmeticError(*projects)

    index = opened(tmp_path, trusting(tmp_path, local))
    deferred = DeferredIndex(lambda first: index)
    with monkeypatch.context() as patch:
        patch.setattr(VerifiedIndex, "prefetch_pages", fails)
        before = set(threading.enumerate())
        deferred.begin([ALPHA])
        (beginning,) = (one for one in set(threading.enumerate()) - before)
        assert beginning.name == "beginning"
        assert beginning.daemon
        goes_on.set()
        with pytest.raises(ArithmeticError, match="alpha"):
            deferred.opened()
    assert deferred.opened() is index


def test_an_index_is_not_opened_for_nothing() -> None:
    opened_for: list[Sequence[NormalizedName]] = []

    def open_index(first: Sequence[NormalizedName]) -> VerifiedIndex:
        opened_for.append(first)
        raise UntrustedError("nobody is trusted")

    assert DeferredIndex(open_index).fetch([]) == []
    assert opened_for == []


def test_hints_are_passed_on(local: MadeRepository, tmp_path: Path, asked: Asked) -> None:
    index = opened(tmp_path, trusting(tmp_path, local))
    deferred = DeferredIndex(lambda first: index)
    deferred.prefetch_pages([ALPHA])
    assert asked.early == ["index.json"]
    deferred.prefetch_metadata(ALPHA, [file_of(index, ALPHA_1)])
    assert asked.early == ["index.json", f"{ALPHA_1}.metadata"]
