"""What a test leaves to later ones is named."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support import unchanged
from tests.support.repositories import MadeRepository


def test_who_changes_what_others_share_is_told_what(made: MadeRepository) -> None:
    before = {folder: unchanged._listing(folder) for folder in unchanged._folders(made)}
    unchanged._check("made", before)
    next(made.offline_keys.iterdir()).unlink()
    (made.folder / "metadata" / "1.root.json").write_bytes(b"")
    with pytest.raises(AssertionError, match=r"changed made, .*: \['1\.root\.json'\]"):
        unchanged._check("made", before)
    before.pop(made.folder / "metadata")
    with pytest.raises(AssertionError, match=r"changed made, .*: \['.*\.pem'\]"):
        unchanged._check("made", before)


def test_variables_and_the_working_folder_are_looked_at(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    before = unchanged._process()
    monkeypatch.setenv("SECUREPIP_TEST", "1")
    monkeypatch.chdir(tmp_path)
    changed = {name for name, _ in before.items() ^ unchanged._process().items()}
    assert changed == {"SECUREPIP_TEST", "working folder"}
