"""The index returns signed files only, and its errors name the others."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import pytest
from packaging.utils import NormalizedName, canonicalize_name

from securepip.errors import (
    RepositoryUnavailableError,
    TransportError,
    UntrustedError,
    VerificationError,
)
from securepip.formats.core_metadata import parse_core_metadata
from securepip.formats.digests import NOT_KNOWN_YET, sha256_of
from securepip.formats.page import PageFile
from securepip.index import DeferredIndex, Store, VerifiedFile, VerifiedIndex, ahead
from securepip.index.received import Received
from securepip.transport import Transport, TransportOptions
from securepip.trust import Assignment, Trust, TrustStore
from tests.index.conftest import Served
from tests.support.begun import all_answered
from tests.support.hostile import Alteration, Reply, flip_byte
from tests.support.repositories import make_repository
from tests.support.wheels import make_wheel

ALPHA, BETA, GAMMA = (canonicalize_name(name) for name in ("alpha", "beta", "gamma"))
Client = Callable[..., VerifiedIndex]


def page_file(index: VerifiedIndex, project: str, filename: str) -> PageFile:
    page = index.page(canonicalize_name(project))
    assert page is not None
    found = page.file(filename)
    assert found is not None
    return found


def test_pages_metadata_and_files_arrive_as_they_were_signed(client: Client) -> None:
    index = client()
    page = index.page(ALPHA)
    assert page is not None
    assert [file.filename for file in page.files] == [
        "alpha-1.0-py3-none-any.whl",
        "alpha-2.0-py3-none-any.whl",
    ]
    metadata = parse_core_metadata(index.core_metadata(ALPHA, page.files[1]))
    assert [str(requirement) for requirement in metadata.requires_dist] == ["gamma"]
    sdist = page_file(index, "beta", "beta-1.0.tar.gz")
    assert parse_core_metadata(index.core_metadata(BETA, sdist)).name == "beta"
    arrived: list[VerifiedFile] = []
    fetched = index.fetch([(ALPHA, page.files[0]), (BETA, sdist)], arrived.append)
    assert sorted(arrived, key=fetched.index) == fetched
    assert [file.filename for file in fetched] == ["alpha-1.0-py3-none-any.whl", "beta-1.0.tar.gz"]
    for file in fetched:
        assert sha256_of(file.path.read_bytes()) == file.sha256
        assert file.repository == "made"


def test_the_largest_file_is_fetched_first(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    index = client()
    small = page_file(index, "beta", "beta-1.0.tar.gz")
    large = page_file(index, "alpha", "alpha-1.0-py3-none-any.whl")
    sizes = [file.size or 0 for file in (small, large)]
    assert sizes[0] != sizes[1]
    monkeypatch.setattr(index._transport, "map", map)  # one after the other
    arrived: list[VerifiedFile] = []
    index.fetch([(BETA, small), (ALPHA, large)], arrived.append)
    index.fetch([(ALPHA, large), (BETA, small)], arrived.append)
    assert [file.size for file in arrived] == sorted(sizes, reverse=True) * 2


def test_a_project_that_nobody_signed_is_unknown(client: Client) -> None:
    assert client().page(canonicalize_name("delta")) is None


def test_who_trusts_nobody_gets_nothing(tmp_path: Path) -> None:
    index = VerifiedIndex(Trust(), Transport(), Store(tmp_path / "store"))
    with pytest.raises(UntrustedError, match="trusts no package repository"):
        index.page(ALPHA)


def test_only_the_index_makes_a_verified_file(tmp_path: Path, client: Client) -> None:
    index = client()
    (genuine,) = index.fetch([(ALPHA, page_file(index, "alpha", "alpha-1.0-py3-none-any.whl"))])
    values = {name: getattr(genuine, name) for name in VerifiedFile.__dataclass_fields__}
    with pytest.raises(TypeError, match="only the index"):
        VerifiedFile(**{**values, "seal": None})


@pytest.mark.parametrize(
    "pattern",
    [
        r"metadata/timestamp\.json",
        r"metadata/\d+\.snapshot\.json",
        r"metadata/\d+\.targets\.json",
        r"metadata/\d+\.claimed\.json",
        r"metadata/\d+\.recently-claimed\.json",
        r"metadata/\d+\.bins\.json",
        r"metadata/\d+\.bin-.*\.json",
        r"simple/alpha/.*\.json",
        r".*\.metadata",
        r".*/[^/]*alpha-2.*\.whl",
    ],
)
def test_one_changed_byte_anywhere_on_the_chain_is_refused_and_the_file_is_named(
    served: Served, client: Client, pattern: str
) -> None:
    served.server.alter(pattern, flip_byte)
    index = client()
    with pytest.raises(VerificationError) as caught:
        file = page_file(index, "alpha", "alpha-2.0-py3-none-any.whl")
        index.core_metadata(ALPHA, file)
        index.fetch([(ALPHA, file)])
    assert served.server.url in str(caught.value)
    served.server.honest()
    file = page_file(client(), "alpha", "alpha-2.0-py3-none-any.whl")
    assert client().fetch([(ALPHA, file)])[0].sha256 == file.sha256


@pytest.mark.parametrize("longer", [True, False])
def test_a_file_of_another_length_is_refused(served: Served, client: Client, longer: bool) -> None:
    served.server.alter(r".*\.whl", lambda data: data + b"more" if longer else data[:-1])
    index = client()
    file = page_file(index, "alpha", "alpha-1.0-py3-none-any.whl")
    with pytest.raises(VerificationError, match=r"alpha-1\.0"):
        index.fetch([(ALPHA, file)])


@pytest.mark.parametrize("installs", [True, False])
def test_a_small_file_that_will_be_installed_comes_with_its_metadata_and_is_verified_all_the_same(
    served: Served, client: Client, installs: bool
) -> None:
    def wheels() -> int:
        all_answered()
        return sum(path.endswith(".whl") for path in served.server.seen)

    index = client(installs=installs)
    file = page_file(index, "alpha", "alpha-1.0-py3-none-any.whl")
    index.prefetch_metadata(ALPHA, [file])
    assert index.core_metadata(ALPHA, file)
    assert wheels() == installs
    assert index.fetch([(ALPHA, file)])[0].sha256 == file.sha256
    assert wheels() == 1

    served.server.alter(r".*\.whl", flip_byte)
    other = page_file(index, "alpha", "alpha-2.0-py3-none-any.whl")
    index.prefetch_metadata(ALPHA, [other])
    with pytest.raises(VerificationError, match=r"alpha-2\.0"):
        index.fetch([(ALPHA, other)])


def test_a_page_cannot_hand_out_the_file_of_another_project(served: Served, client: Client) -> None:
    """Even a page that was signed: each file needs a target of its own under the project."""
    index = client()
    foreign = page_file(index, "gamma", "gamma-1.0-py3-none-any.whl")
    with pytest.raises(VerificationError, match="has signed no such file for alpha"):
        index.fetch([(ALPHA, foreign)])


def test_a_page_and_the_signed_target_of_its_file_must_agree(client: Client) -> None:
    index = client()
    file = page_file(index, "alpha", "alpha-1.0-py3-none-any.whl")
    other = page_file(index, "alpha", "alpha-2.0-py3-none-any.whl")
    lying = PageFile(file.filename, other.url, other.sha256, other.size)
    with pytest.raises(VerificationError, match="do not agree"):
        index.fetch([(ALPHA, lying)])


def test_only_a_repository_of_this_machine_may_leave_a_sha256_open(client: Client) -> None:
    index = client()
    file = page_file(index, "alpha", "alpha-1.0-py3-none-any.whl")
    silent = PageFile(file.filename, file.url, NOT_KNOWN_YET, None)
    with pytest.raises(VerificationError, match="do not agree"):
        index.fetch([(ALPHA, silent)])
    index.fetch([(ALPHA, file)])
    assert index.has(file)
    assert not index.has(silent)


class _SignsNothing:
    """A first-use signer that does nothing."""

    def state(self) -> bytes:
        return b""

    def prepare_pages(self, projects: Iterable[NormalizedName]) -> None:
        pass

    def check(self, project: NormalizedName) -> None:
        pass

    def check_file(self, project: NormalizedName, filename: str) -> None:
        pass

    def prepare_files(
        self,
        wanted: Sequence[tuple[NormalizedName, str]],
        likely: Sequence[tuple[NormalizedName, str]] = (),
    ) -> None:
        pass


def test_a_file_that_was_chosen_is_not_fetched_with_other_bytes(
    served: Served, tmp_path: Path
) -> None:
    """The page is looked at anew when this machine signs: what it says now was not resolved."""
    trust = TrustStore(tmp_path / "trust")
    trust.add("made", served.server.url, served.made.root.read_bytes())
    index = VerifiedIndex(
        trust.read(), Transport(), Store(tmp_path / "store"), {"made": _SignsNothing()}
    )
    file = page_file(index, "alpha", "alpha-1.0-py3-none-any.whl")
    chosen = file._replace(sha256=sha256_of(b"what the page said before"))
    gone = file._replace(filename="alpha-0.9-py3-none-any.whl")
    for other in (chosen, gone):
        with pytest.raises(VerificationError, match="any more as it was"):
            index.fetch([(ALPHA, other)])
    assert index.fetch([(ALPHA, file._replace(sha256=NOT_KNOWN_YET, size=None))])


def test_an_older_state_of_the_repository_is_refused_once_a_newer_was_seen(
    served: Served, client: Client, tmp_path: Path
) -> None:
    old = tmp_path / "old"
    shutil.copytree(served.made.folder, old)
    served.made.add(make_wheel(tmp_path / "built", "alpha", "3.0"))
    assert page_file(client(), "alpha", "alpha-3.0-py3-none-any.whl")
    served.server.folder = old
    with pytest.raises(VerificationError, match=r"timestamp\.json"):
        client().page(ALPHA)


def test_an_unchanged_repository_costs_two_requests_and_no_page(
    served: Served, client: Client
) -> None:
    first = client()
    first.prefetch_pages([ALPHA, GAMMA])
    assert first.page(ALPHA)
    assert first.page(GAMMA)
    first.close()
    all_answered()
    served.server.seen.clear()
    second = client()
    second.prefetch_pages([ALPHA, GAMMA])
    assert second.page(ALPHA) == first.page(ALPHA)
    assert second.page(GAMMA) == first.page(GAMMA)
    all_answered()
    assert set(served.server.seen) == {"metadata/2.root.json", "metadata/timestamp.json"}


def test_all_that_a_new_project_needs_is_asked_for_together_where_nothing_was_signed_since(
    served: Served, client: Client
) -> None:
    assert client().page(ALPHA)
    roles = served.made.repository.roles()
    bins = [roles.bin_of(f"simple/{project}/index.json") for project in (ALPHA, GAMMA)]
    assert bins[0] != bins[1]
    together = {
        "metadata/2.root.json",
        "metadata/timestamp.json",
        f"metadata/{roles.meta(bins[1]).version}.{bins[1]}.json",
        "simple/gamma/index.json",
    }
    answer, asked = served.server.answer, threading.Barrier(len(together))

    def answer_when_all_are_asked(path: str) -> Reply:
        if path in together:
            asked.wait(60)
        return answer(path)

    served.server.answer = answer_when_all_are_asked  # type: ignore[method-assign]
    all_answered()
    served.server.seen.clear()
    index = client()
    ahead.begin(index._speakers._trust, index._transport, [GAMMA])
    index.prefetch_pages([GAMMA])
    assert index.page(GAMMA)
    assert not asked.broken
    all_answered()
    assert set(served.server.seen) == together


def test_what_nobody_has_begun_is_asked_for_in_the_order_of_the_specification(
    served: Served, client: Client
) -> None:
    all_answered()
    served.server.seen.clear()
    assert client().page(ALPHA)
    first = [path.rpartition("/")[2] for path in served.server.seen[:3]]
    assert first[0].endswith(".root.json")
    assert first[1] == "timestamp.json"
    assert first[2].endswith(".snapshot.json")


@pytest.mark.parametrize(
    "lie",
    [flip_byte, lambda data: 404, lambda data: b"x" * (5 << 20)],
    ids=["changed", "gone", "long"],
)
def test_what_lies_at_a_pages_address_without_a_digest_decides_nothing(
    served: Served, client: Client, lie: Alteration
) -> None:
    served.server.alter("simple/gamma/index.json", lie)
    index = client()
    index.prefetch_pages([GAMMA])
    page = index.page(GAMMA)
    assert page is not None
    assert [file.filename for file in page.files] == ["gamma-1.0-py3-none-any.whl"]
    all_answered()
    assert sum(path.startswith("simple/gamma/") for path in served.server.seen) == 2


def test_what_was_begun_early_is_asked_once_and_what_failed_is_raised_when_it_is_asked(
    served: Served, client: Client
) -> None:
    served.server.delay = 0.02
    index = DeferredIndex(lambda first: client())
    index.begin([ALPHA, GAMMA])
    assert index.page(ALPHA)
    assert index.page(GAMMA)
    all_answered()
    assert len(served.server.seen) == len(set(served.server.seen))

    served.server.withhold("metadata/timestamp.json")
    index = DeferredIndex(lambda first: client())
    index.begin([ALPHA])
    with pytest.raises(RepositoryUnavailableError):
        index.page(ALPHA)

    opened: list[int] = []

    def nobody(first: Sequence[NormalizedName]) -> VerifiedIndex:
        opened.append(1)
        raise UntrustedError("nobody is trusted")

    index = DeferredIndex(nobody)
    index.begin([ALPHA])
    with pytest.raises(UntrustedError):
        index.page(ALPHA)
    assert len(opened) == 1


def test_a_page_that_names_the_digest_of_anothers_file_does_not_change_where_it_is_fetched_from(
    served: Served, tmp_path: Path
) -> None:
    url = f"{served.server.url}metadata/timestamp.json"
    data = (served.made.folder / "metadata/timestamp.json").read_bytes()
    sha256 = sha256_of(data)
    with Transport(TransportOptions(retries=0)) as transport:
        received = Received(transport, Store(tmp_path / "store"))
        received.begin(f"{served.server.url}elsewhere", len(data), sha256)
        received.begin(url, 1, sha256)
        assert received.bytes_of(url, len(data), sha256, "it") == data


def test_after_a_change_only_what_the_snapshot_says_is_fetched_again(
    served: Served, client: Client, tmp_path: Path
) -> None:
    index = client()
    assert index.page(ALPHA)
    assert index.page(GAMMA)
    served.made.add(make_wheel(tmp_path / "built", "alpha", "3.0"))
    all_answered()
    served.server.seen.clear()
    index = client()
    assert page_file(index, "alpha", "alpha-3.0-py3-none-any.whl")
    assert index.page(GAMMA)
    all_answered()
    assert not [path for path in served.server.seen if "gamma" in path]
    assert not [path for path in served.server.seen if "claimed" in path or "bins" in path]


def test_a_damaged_store_is_mended_not_believed(
    served: Served, client: Client, tmp_path: Path
) -> None:
    index = client()
    file = page_file(index, "alpha", "alpha-1.0-py3-none-any.whl")
    (fetched,) = index.fetch([(ALPHA, file)])
    for damage in (b"", fetched.path.read_bytes()[:-1], b"x" * (file.size or 1)):
        fetched.path.write_bytes(damage)
        (again,) = client().fetch([(ALPHA, file)])
        assert sha256_of(again.path.read_bytes()) == file.sha256
    for kept in (tmp_path / "store" / "sha256").rglob("*"):
        if kept.is_file():
            kept.write_bytes(b"")
    assert client().page(ALPHA) == index.page(ALPHA)


def test_metadata_that_the_mirror_does_not_carry_is_read_from_the_verified_file(
    served: Served, client: Client
) -> None:
    served.server.withhold(r".*\.metadata")
    index = client()
    file = page_file(index, "alpha", "alpha-2.0-py3-none-any.whl")
    assert parse_core_metadata(index.core_metadata(ALPHA, file)).name == "alpha"


def test_a_repository_that_does_not_answer_is_named_with_the_age_of_what_was_seen(
    served: Served, client: Client
) -> None:
    assert client().page(ALPHA)
    served.server.withhold(".*", status=503)
    with pytest.raises(RepositoryUnavailableError) as caught:
        client().page(ALPHA)
    assert served.server.url in str(caught.value)
    assert " ago" in str(caught.value)


def test_a_page_that_is_signed_but_gone_is_an_error_and_not_an_unknown_project(
    served: Served, client: Client
) -> None:
    served.server.withhold(r"simple/.*")
    with pytest.raises(TransportError, match=r"index\.json"):
        client().page(ALPHA)


def test_the_first_repository_that_knows_a_project_is_the_only_one_asked_for_it(
    served: Served, tmp_path: Path
) -> None:

    built = tmp_path / "other-built"
    other = make_repository(
        tmp_path / "other",
        make_wheel(built, "alpha", "9.0"),
        make_wheel(built, "delta", "1.0"),
    )
    trust = TrustStore(tmp_path / "two")
    trust.add("made", served.server.url, served.made.root.read_bytes())
    trust.add("other", other.folder.as_uri() + "/", other.root.read_bytes())
    index = VerifiedIndex(trust.read(), Transport(), Store(tmp_path / "store"))
    page = index.page(ALPHA)
    assert page is not None
    assert page.file("alpha-9.0-py3-none-any.whl") is None
    assert index.page(canonicalize_name("delta")) is not None
    assert index.origin(canonicalize_name("delta")).startswith("other ")
    served.server.withhold(".*", status=503)
    hasty = Transport(TransportOptions(retries=0))
    fresh = VerifiedIndex(trust.read(), hasty, Store(tmp_path / "store"))
    with pytest.raises(RepositoryUnavailableError):
        fresh.page(canonicalize_name("delta"))


def test_where_two_must_agree_only_what_both_signed_is_offered(
    served: Served, tmp_path: Path
) -> None:
    built = tmp_path / "built"
    other = make_repository(
        tmp_path / "other",
        built / "alpha-1.0-py3-none-any.whl",
        # The same name, but not the same bytes, as the other repository has.
        make_wheel(tmp_path / "forged", "alpha", "2.0", files={"alpha/__init__.py": "evil"}),
        make_wheel(built, "alpha", "3.0"),
    )
    store = TrustStore(tmp_path / "two")
    store.add("made", served.server.url, served.made.root.read_bytes())
    store.add("other", other.folder.as_uri() + "/", other.root.read_bytes())
    believed = store.read()
    both = Assignment(("*",), ("made", "other"), terminating=True, threshold=2)
    trust = Trust(believed.repositories, (both,))
    index = VerifiedIndex(trust, Transport(), Store(tmp_path / "two-store"))
    page = index.page(ALPHA)
    assert page is not None
    assert [file.filename for file in page.files] == ["alpha-1.0-py3-none-any.whl"]
    assert index.fetch([(ALPHA, page.files[0])])
    # Known to one of them only.
    assert index.page(GAMMA) is None
    forged = page_file(
        VerifiedIndex(believed.only("made"), Transport(), Store(tmp_path / "two-store")),
        "alpha",
        "alpha-2.0-py3-none-any.whl",
    )
    with pytest.raises(VerificationError, match="signed by 1 of the 2"):
        index.fetch([(ALPHA, forged)])
