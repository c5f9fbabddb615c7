"""The text of refusals, and the names of signers."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from packaging.utils import canonicalize_name

from securepip.first_use import open_signers
from securepip.first_use.refusals import age_in_words, contradiction, quarantined
from securepip.first_use.setup import protect
from securepip.first_use.signer import Signers
from securepip.first_use.witness import Contradiction
from securepip.formats.digests import Sha256
from securepip.index import Store
from securepip.transport import TransportOptions
from securepip.trust import FirstUseRules, TrustStore

APP = canonicalize_name("app")
INDEX = "https://packages.example.org/simple/"


@pytest.mark.parametrize(
    ("hours", "words"),
    [(1, "1 hour"), (24, "1 day"), (25, "25 hours"), (36, "36 hours"), (72, "3 days")],
)
def test_an_age_is_said_in_days_where_it_is_whole_ones(hours: int, words: str) -> None:
    assert age_in_words(timedelta(hours=hours)) == words


def test_of_several_files_that_differ_the_first_is_named_and_all_are_counted() -> None:
    found = [
        Contradiction(f"app-{number}.zip", Sha256("a" * 64), "witness", Sha256("b" * 64))
        for number in range(2)
    ]
    assert contradiction(APP, found[:1]).what == "app-0.zip is not the same everywhere"
    both = contradiction(APP, found)
    assert both.what == "app-0.zip is not the same everywhere (2 files of app differ)"
    assert "accept-change app-0.zip" in both.remedy


def test_a_quarantine_is_said_with_its_reason_where_there_is_one() -> None:
    assert quarantined(APP, None, "it").what == "it holds app in quarantine"
    assert quarantined(APP, "malware", "it").what == "it holds app in quarantine: malware"


def test_signers_are_opened_for_the_first_repository_of_this_machine_and_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[object] = []
    enter = Signers.__enter__

    def counted(self: Signers) -> Signers:
        opened.append(self._refresh(APP))
        return enter(self)

    monkeypatch.setattr(Signers, "__enter__", counted)
    monkeypatch.setenv("SECUREPIP_DATA_DIR", str(tmp_path / "data"))
    store = TrustStore(tmp_path / "data" / "trust")
    with open_signers(TransportOptions(), Store(tmp_path / "store")) as signers:
        assert signers(store.read()) == {}
        assert opened == []
        name = protect(INDEX, FirstUseRules(), store).repository.name
        for _ in range(2):
            assert list(signers(store.read())) == [name]
        assert opened == [False]
