"""Whom a command begins to ask before it has opened the index."""

from __future__ import annotations

from pathlib import Path

import pytest
from packaging.utils import canonicalize_name

import securepip.index
from securepip.index import ahead
from securepip.transport import Transport
from securepip.trust import TrustStore
from securepip.updater.seen import Seen
from tests.support.repositories import MadeRepository

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
        ahead, "begin_pages", lambda view, repository, names: pages.append(list(names))
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
    with pytest.raises(AttributeError, match="nothing"):
        _ = securepip.index.nothing
