"""What a person accepts, and in which repository, without the command line."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path

import pytest
from packaging.utils import NormalizedName, canonicalize_name

from securepip.errors import SecurepipError, UsageError
from securepip.first_use.accept import Accepted, accept
from securepip.first_use.memory import Memory
from securepip.first_use.memory_file import Seen, extend_memory, read_memory
from securepip.first_use.setup import protect
from securepip.first_use.signer import Signer, Signers
from securepip.formats.digests import Sha256, parse_sha256
from securepip.index import Store
from securepip.signing.repository.repository import Repository
from securepip.signing.repository.state.log import Reason
from securepip.transport import TransportOptions, file_url_to_path
from securepip.trust import FirstUse, FirstUseRules, TrustedRepository, TrustStore
from tests.support.hostile import make_certificate
from tests.support.indexes import Index, serve_index
from tests.support.wheels import make_wheel

APP = canonicalize_name("app")
WHEEL = "app-2.0-py3-none-any.whl"
OPTIONS = TransportOptions(retries=0, timeout=60)
X, Y = (parse_sha256(letter * 64) for letter in "ab")


@dataclass
class Own:
    """Two first-use repositories, of two indexes that have the same ``app``."""

    store: TrustStore
    indexes: dict[str, Index]
    files: Path

    def __getitem__(self, name: str) -> TrustedRepository:
        return self.store.read().named(name)

    @contextmanager
    def open(self, name: str, reason: str = "a test") -> Iterator[Repository]:
        with Repository.open(
            file_url_to_path(self[name].location), reason=Reason(reason)
        ) as opened:
            yield opened

    @contextmanager
    def signer(self, name: str) -> Iterator[Signer]:
        with Signers(OPTIONS, Store(self.files / "store")) as signers:
            yield signers(self.store.read())[name]

    def demand(self, name: str, rules: FirstUseRules) -> None:
        """Change the demands on new files of an index."""
        self.store.change_first_use(name, FirstUse(self.indexes[name].url, rules))

    def sign(self, *names: str) -> None:
        """Sign the page of ``app`` and the wheel as they are in the indexes."""
        for name in names:
            with self.signer(name) as signer:
                signer.prepare_pages([APP])
                signer.prepare_files([(APP, WHEEL)])

    def refuse(self, name: str, sha256: Sha256) -> None:
        """Refuse these bytes in one of them."""
        with self.open(name) as opened, opened.lock():
            opened.ledger.refuse(APP, WHEEL, sha256)

    def lose(self, name: str) -> None:
        with self.open(name) as opened, opened.lock():
            Memory(opened.ledger.connection, 0.0).refuse_loss(APP)

    def known(self, name: str) -> Sha256:
        """The bytes that are signed for the wheel there."""
        with self.open(name) as opened:
            return opened.ledger.known(APP)[WHEEL]

    def refused(self, name: str) -> list[tuple[NormalizedName, Sha256]]:
        with self.open(name) as opened:
            return opened.ledger.refused_as(WHEEL)

    def change_bytes(self, name: str) -> Sha256:
        """Offer other bytes of the wheel, and pages without digests."""
        code = {"app/__init__.py": "VERSION = 'other'\n"}
        (offered,) = self.indexes[name].offer(
            make_wheel(self.files / "other", "app", "2.0", files=code)
        )
        self.indexes[name].says_sha256 = False
        return parse_sha256(offered.sha256)

    def accept(self, *names: str, what: str = WHEEL) -> list[Accepted]:
        return accept([self[name] for name in names], what, OPTIONS)


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Own]:
    monkeypatch.setenv("SECUREPIP_DATA_DIR", str(tmp_path / "data"))
    store = TrustStore(tmp_path / "data" / "trust")
    wheel = make_wheel(tmp_path / "published", "app", "2.0")
    with serve_index() as first, serve_index() as second:
        for name, index in (("one", first), ("two", second)):
            index.offer(wheel)
            protect(index.url, FirstUseRules(), store, name=name)
        yield Own(store, {"one": first, "two": second}, tmp_path)


def test_what_was_refused_at_one_index_is_accepted_there_alone(own: Own) -> None:
    for index in own.indexes.values():
        index.says_sizes = False  # so that there is something to forget of the file at both
    own.sign("one", "two")
    before = own.known("two")
    own.refuse("one", X)
    assert own.accept("one", "two") == [Accepted("one", X)]
    assert (own.known("one"), own.known("two")) == (X, before)
    own.refuse("one", Y)
    own.refuse("two", Y)
    assert own.accept("one", "two") == [Accepted("one", Y), Accepted("two", Y)]


def test_what_was_refused_is_accepted_and_not_what_the_index_offers_by_now(own: Own) -> None:
    """A person has looked at the first; the second may be anybody's."""
    own.sign("one", "two")
    own.refuse("one", X)
    for name in ("one", "two"):
        own.change_bytes(name)
    assert own.accept("one", "two") == [Accepted("one", X)]
    assert own.refused("two") == []


def test_what_was_refused_at_two_indexes_and_is_not_the_same_is_not_accepted(own: Own) -> None:
    own.sign("one", "two")
    own.refuse("one", X)
    own.refuse("two", Y)
    with pytest.raises(UsageError, match="different changes of") as refused:
        own.accept("one", "two")
    for name, sha256 in (("one", X), ("two", Y)):
        url = own.indexes[name].url
        assert f"at {url} ({name}): sha256 {sha256}" in refused.value.meaning
    assert own.accept("two") == [Accepted("two", Y)]


def test_where_nothing_was_refused_what_servers_said_of_the_file_is_asked_anew(own: Own) -> None:
    assert own.accept("one", "two") == []
    for index in own.indexes.values():
        index.says_sizes = index.says_metadata = False
    memory = own.files / "seen.txt"
    own.demand("one", FirstUseRules(memory=memory))
    own.sign("one", "two")
    assert WHEEL in read_memory(memory)
    before = memory.read_bytes()
    assert own.accept("one", "two") == [Accepted("one", None), Accepted("two", None)]
    assert memory.read_bytes() == before
    assert own.accept("one", "two") == []


def test_the_memory_file_is_told_of_what_stands_in_it_alone(own: Own) -> None:
    memory = own.files / "seen.txt"
    own.demand("one", FirstUseRules(memory=memory))
    own.sign("one")
    own.refuse("one", X)
    assert own.accept("one") == [Accepted("one", X)]
    assert read_memory(memory)[WHEEL].sha256 == X
    memory.unlink()
    extend_memory(memory, [Seen("other-1.0.tar.gz", X, date(2026, 1, 2))])
    own.refuse("one", Y)
    assert own.accept("one") == [Accepted("one", Y)]
    assert list(read_memory(memory)) == ["other-1.0.tar.gz"]


@pytest.mark.parametrize("is_lost_at_both", [False, True])
def test_a_page_may_lose_its_files_at_one_index_and_the_log_says_why(
    own: Own, is_lost_at_both: bool
) -> None:
    own.lose("one")
    if is_lost_at_both:
        own.lose("two")
        with pytest.raises(UsageError, match="at several indexes"):
            own.accept("one", "two", what="App")
    names = ("one",) if is_lost_at_both else ("one", "two")
    assert own.accept(*names, what="App") == [Accepted("one", None)]
    for name, is_accepted in (("one", True), ("two", False)):
        with own.open(name) as opened:
            memory = Memory(opened.ledger.connection, 0.0)
            assert memory.accepted_losses() == ({APP} if is_accepted else set())
            said = [entry.why for entry in opened.log.entries()]
        assert ("trust accept-change App" in said) == is_accepted


def test_who_accepts_a_change_is_shown_the_page_as_it_is_now(
    own: Own, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("securepip.first_use.memory.FRESH_SECONDS", 600.0)
    own.sign("one")

    def is_fresh() -> bool:
        with own.open("one") as opened:
            return Memory(opened.ledger.connection, time.time()).is_fresh(APP)

    assert is_fresh()
    own.refuse("one", X)
    own.accept("one")
    assert not is_fresh()


# ------------------------------------------------- where the index tells no sha256


def test_new_bytes_are_read_once_where_nobody_tells_their_sha256(own: Own) -> None:
    own.indexes["one"].says_sha256 = False
    own.sign("one")
    before = own.known("one")
    assert own.accept("one") == [], "they are what they were"
    after = own.change_bytes("one")
    assert own.accept("one") == [Accepted("one", after)]
    assert own.known("one") == after != before
    assert own.accept("one") == []
    own.indexes["one"].withdraw("app")
    assert own.accept("one") == []


def test_where_witnesses_are_asked_for_no_file_is_read_that_they_cannot_show(own: Own) -> None:
    own.sign("one")
    rules = FirstUseRules(witnesses=(own.indexes["two"].url,))
    own.demand("one", rules)
    own.change_bytes("one")
    assert own.accept("one") == []
    assert own.refused("one") == []


def test_new_bytes_are_not_read_from_where_others_could_have_written_them(own: Own) -> None:
    """A redirect from an encrypted index to a server that is not."""
    certificate = make_certificate(own.files)
    options = replace(OPTIONS, cert=str(certificate))
    plain = own.indexes["one"]
    with serve_index(certificate) as secure:
        secure.projects["app"] = dict(plain.projects["app"])
        secure.says_sha256 = False
        protect(secure.url, FirstUseRules(), own.store, name="secure")
        with Signers(options, Store(own.files / "store")) as signers:
            signer = signers(own.store.read())["secure"]
            signer.prepare_pages([APP])
            signer.prepare_files([(APP, WHEEL)])
        new = own.change_bytes("one")
        secure.projects["app"] = dict(plain.projects["app"])
        file = f"/files/{WHEEL}"
        secure.moved[file] = f"http://{plain.host}{file}"
        with pytest.raises(SecurepipError, match="not encrypted"):
            accept([own["secure"]], WHEEL, options)
        secure.moved.clear()
        assert accept([own["secure"]], WHEEL, options) == [Accepted("secure", new)]
