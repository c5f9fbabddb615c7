"""What the trust map says of repositories of this machine's own."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import pytest

from securepip.errors import SecurepipError
from securepip.trust import FirstUse, FirstUseRules, TrustStore
from tests.support.repositories import MadeRepository

RULES = FirstUseRules(
    timedelta(days=3), ("https://mirror.example.org/simple/",), Path("/srv/memory.txt")
)


def test_an_entry_reads_back_as_it_was_written(made: MadeRepository, tmp_path: Path) -> None:
    store = TrustStore(tmp_path / "trust")
    first_use = FirstUse("https://packages.example.org/simple/", RULES)
    added = store.add("own", made.folder.as_uri() + "/", made.root.read_bytes(), (), first_use)
    store.set_any_index(FirstUseRules())
    trust = store.read()
    assert trust.repositories == (added,)
    assert trust.repositories[0].first_use == first_use
    assert trust.any_index == FirstUseRules()
    assert {first_use.index_url, *RULES.witnesses} <= set(trust.addresses)

    changed = FirstUse(first_use.index_url)
    store.change_first_use("own", changed)
    store.set_any_index(None)
    trust = store.read()
    assert trust.named("own").first_use == changed
    assert trust.any_index is None


@pytest.mark.parametrize(
    "entry",
    [
        {"index-url": 1},
        {},
        {"index-url": "x", "min-age-hours": "3"},
        {"index-url": "x", "min-age-hours": 0},
        {"index-url": "x", "witnesses": "y"},
        {"index-url": "x", "memory": 1},
    ],
)
def test_nothing_is_believed_where_an_entry_is_damaged(
    made: MadeRepository, tmp_path: Path, entry: dict[str, object]
) -> None:
    store = TrustStore(tmp_path / "trust")
    first_use = FirstUse("https://packages.example.org/simple/")
    store.add("own", made.folder.as_uri() + "/", made.root.read_bytes(), (), first_use)
    path = tmp_path / "trust" / "map.json"
    document = json.loads(path.read_bytes())
    document["x-first-use"]["own"] = entry
    path.write_text(json.dumps(document))
    with pytest.raises(SecurepipError, match="cannot be read"):
        store.read()
