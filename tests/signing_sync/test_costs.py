"""What a sync of very many projects does not do for each of them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from packaging.utils import NormalizedName

from securepip.signing.publish.accounted import check_own
from securepip.signing.repository.pages import contents
from securepip.signing.repository.pages.contents import Contents, DamagedPageError
from securepip.signing.repository.roles import Roles
from securepip.signing.repository.state.later import Later
from securepip.signing.repository.storage.local import LocalStorage
from tests.signing_sync.conftest import Sync
from tests.support.indexes import Index
from tests.support.repositories import MadeRepository
from tests.support.wheels import make_wheel

room = sys.modules["securepip.signing.overlay.sync"]  # the package has a function of that name
NAMES = [f"p{number}" for number in range(5)]


@pytest.fixture
def offered(index: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Index:
    monkeypatch.setattr(room, "NOTED", 0)
    for name in NAMES:
        index.offer(make_wheel(tmp_path, name, "1.0"))
    return index


def _count(monkeypatch: pytest.MonkeyPatch, owner: Any, name: str) -> list[Any]:
    """The arguments of each call from now on."""
    calls: list[Any] = []
    called = getattr(owner, name)

    def counting(*arguments: Any, **options: Any) -> Any:
        calls.append(arguments)
        return called(*arguments, **options)

    monkeypatch.setattr(owner, name, counting)
    return calls


@pytest.mark.usefixtures("offered")
def test_the_page_of_a_project_whose_index_has_not_changed_is_not_even_read(
    run: Sync,
    overlay: MadeRepository,
    tmp_path: Path,
    index: Index,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run(*NAMES)
    read = _count(monkeypatch, contents, "_verified")
    report = run(*NAMES)
    assert (report.unchanged, report.unread, report.files, read) == (5, 5, 0, [])
    index.offer(make_wheel(tmp_path, "p3", "2.0"))
    report = run(*NAMES)
    assert (report.signed, report.unread, report.files) == (["p3"], 4, 2)
    assert {project for _, project, *_ in read} == {"p3"}
    check_own(overlay.repository)


@pytest.mark.usefixtures("offered")
def test_a_page_that_was_damaged_is_found_when_its_project_changes(
    run: Sync, overlay: MadeRepository, tmp_path: Path, index: Index
) -> None:
    run(*NAMES)
    folder = Path(overlay.repository.address) / "simple" / "p3"
    for page in folder.glob("*.index.json"):
        page.write_bytes(b"{}")
    index.offer(make_wheel(tmp_path, "p3", "2.0"))
    with pytest.raises(DamagedPageError, match="is not the page that was signed"):
        run(*NAMES)


@pytest.mark.usefixtures("offered")
def test_a_first_sync_reads_no_page_again_and_no_state_that_it_has_signed_itself(
    run: Sync, overlay: MadeRepository, monkeypatch: pytest.MonkeyPatch
) -> None:
    overlay.repository.roles()
    read = _count(monkeypatch, Contents, "page")
    states = _count(monkeypatch, Roles, "__init__")
    run(*NAMES)
    assert (read, states) == ([], [])
    check_own(overlay.repository)
    for name in NAMES:
        signed = overlay.repository.page(NormalizedName(name))
        assert signed is not None
        html = Path(overlay.repository.address) / "simple" / name / "index.html"
        assert html.read_bytes() == signed.to_html()


@pytest.mark.usefixtures("offered")
def test_what_was_not_written_before_is_written_when_it_is_signed(
    run: Sync, overlay: MadeRepository, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(LocalStorage, "prepare", lambda self, key, data: None)
    run(*NAMES)
    signed = overlay.repository.page(NormalizedName("p1"))
    assert signed is not None
    html = Path(overlay.repository.address) / "simple" / "p1" / "index.html"
    assert html.read_bytes() == signed.to_html()


@pytest.mark.usefixtures("offered")
def test_what_may_wait_is_written_in_one_transaction_and_before_anything_is_signed(
    run: Sync, overlay: MadeRepository, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger, repository = overlay.repository.ledger, overlay.repository
    flushes = _count(monkeypatch, Later, "flush")
    known: list[list[int]] = []
    sign = type(repository._current).sign

    def signing(self: Any, *arguments: Any, **options: Any) -> Any:
        known.append([len(ledger.known(NormalizedName(name))) for name in NAMES])
        return sign(self, *arguments, **options)

    monkeypatch.setattr(type(repository._current), "sign", signing)
    run(*NAMES)
    assert known == [[1] * len(NAMES)]
    assert len(flushes) < len(NAMES)
