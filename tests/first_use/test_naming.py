"""The indexes that a tool trusts, by those that it names."""

from __future__ import annotations

from pathlib import Path

from securepip.first_use import trust_named
from securepip.trust import FirstUseRules, TrustStore
from tests.support.repositories import MadeRepository

KNOWN = "https://known.example.org/simple/"
NEW = "https://new.example.org/simple/"


def speakers(named: list[str], store: TrustStore) -> list[str]:
    """The indexes of the chosen signers, in order."""
    trust = trust_named(named, store, ())
    order = [name for entry in trust.mapping for name in entry.repositories]
    return [trust.named(name).index_urls[0] for name in order]


def test_an_index_speaks_where_it_is_named_and_a_new_one_only_where_the_user_wants_that(
    made: MadeRepository, tmp_path: Path
) -> None:
    store = TrustStore(tmp_path / "trust")
    root = made.root.read_bytes()
    store.add("known", made.folder.as_uri(), root, (KNOWN,), is_asked_always=False)
    assert speakers([], store) == []
    assert speakers([NEW], store) == []
    assert speakers([NEW, KNOWN], store) == [KNOWN]
    assert [each.name for each in store.read().repositories] == ["known"]

    store.set_any_index(FirstUseRules())
    assert speakers([NEW], store) == [NEW]
    assert speakers([KNOWN], store) == [KNOWN]
    assert speakers([], store) == []
