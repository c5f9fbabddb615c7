"""The requests that a command begins before it has opened the index."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from packaging.utils import canonicalize_name

import securepip.index
from securepip.errors import VerificationError
from securepip.formats.core_metadata import read_core_metadata
from securepip.formats.digests import Sha256, sha256_of
from securepip.formats.page import PageFile
from securepip.index import DeferredIndex, ahead
from securepip.index.verified import metadata_inside
from securepip.transport import Transport
from securepip.trust import TrustStore
from securepip.updater.seen import Seen
from tests.installer.conftest import verified
from tests.support.repositories import MadeRepository
from tests.support.wheels import make_wheel

APP, LIB = canonicalize_name("app"), canonicalize_name("lib")


def test_a_repository_elsewhere_is_asked_for_what_no_run_has_seen(
    made: MadeRepository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[tuple[str, list[str]]] = []
    pages: list[list[str]] = []
    monkeypatch.setattr(
        "securepip.updater.ahead.begin",
        lambda view, url, state, root, new: begun.append((url, list(new))),
    )
    monkeypatch.setattr(
        ahead, "begin_pages", lambda view, repository, names, mirrors: pages.append(list(names))
    )
    store = TrustStore(tmp_path / "trust")
    with Transport() as transport:
        ahead.begin(store.read(), transport, [APP])
        store.add("here", made.folder.as_uri(), made.root.read_bytes(), ())
        ahead.begin(store.read(), transport, [APP])
        assert (begun, pages) == ([], [])
        store.remove("here")
        added = store.add("there", "https://packages.example.org/", made.root.read_bytes(), ())
        added.state.mkdir()
        seen = Seen(added.state)
        seen.add(LIB)
        seen.keep()
        ahead.begin(store.read(), transport, [APP, LIB])
    assert begun == [("https://packages.example.org/metadata/", ["simple/app/index.json"])]
    assert pages == [["app"]]


def test_what_the_index_is_made_of_is_imported_when_it_is_asked_for() -> None:
    assert callable(securepip.index.untrusted)
    with pytest.raises(AttributeError, match="Speakers"):  # which is no part of what it offers
        _ = securepip.index.Speakers


def test_metadata_inside_is_what_was_signed_and_nothing_else(tmp_path: Path) -> None:
    path = make_wheel(tmp_path, "app", "1.0", requires=["lib"])
    inside = read_core_metadata(path)
    file = PageFile(path.name, "", Sha256("a" * 64), 1, core_metadata=sha256_of(inside))
    assert metadata_inside(verified(path), file) == inside
    assert metadata_inside(verified(path), file._replace(core_metadata=None)) == inside
    with pytest.raises(VerificationError, match="other metadata than what was signed"):
        metadata_inside(verified(path), file._replace(core_metadata=Sha256("a" * 64)))


def test_files_are_fetched_by_the_index_that_is_opened_for_them() -> None:
    class Opened:
        def fetch(self, wanted: object, arrived: object = None) -> list[object]:
            return [wanted]

    wanted: list[Any] = [(APP, None)]
    opened: Any = Opened()
    deferred = DeferredIndex(lambda first: opened)
    found: list[Any] = deferred.fetch(wanted)
    assert found == [wanted]
    assert deferred.fetch([]) == []
