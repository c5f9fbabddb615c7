"""The list of accepted changes, and the score of a sample."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.mutation.accepted import Key, accepted
from tests.mutation.outcomes import Outcome, faults, is_below, read
from tests.mutation.rooms import ROOMS, SOURCES

KEY = ("formats/page.py", "if wrong:", "if False:")


@pytest.mark.parametrize("key", accepted(), ids=lambda key: f"{key[0]}: {key[2]}")
def test_what_may_live_is_in_a_room_and_says_why(key: Key) -> None:
    module, before, _ = key
    assert any(module in room.modules() for room in ROOMS.values())
    code = " ".join((SOURCES / module).read_text(encoding="utf-8").split())
    assert before in code, "the code has changed: try again, and change the list"
    assert len(accepted()[key]) > 20


def test_an_entry_that_a_test_notices_is_a_fault() -> None:
    killed = Outcome("formats", KEY[0], 1, *KEY[1:], "killed", "test_it")
    assert faults([killed], {KEY: "why"}) != []
    assert faults([killed], {}) == []
    lives = Outcome("formats", KEY[0], 1, *KEY[1:], "survived", "")
    assert faults([lives], {KEY: "why"}) == []


def test_of_two_changes_that_read_alike_each_has_its_outcome(tmp_path: Path) -> None:
    survived = Outcome("formats", KEY[0], 1, *KEY[1:], "survived", "")
    killed = Outcome("formats", KEY[0], 9, *KEY[1:], "killed", "test_it", nth=1)
    results = tmp_path / "results"
    results.write_text("".join(one.written() for one in (killed, survived, killed)))
    assert read(results) == [killed, survived]
    assert faults([killed, survived], {KEY: "why"}) == []


def test_a_small_sample_fails_only_where_that_is_no_chance() -> None:
    assert not is_below(0.95, 0, 0)
    assert not is_below(0.95, 19, 20)
    assert not is_below(0.95, 17, 20)
    assert is_below(0.95, 14, 20)
    assert not is_below(0.95, 95, 100)
    assert not is_below(0.95, 90, 100)
    assert is_below(0.95, 86, 100)
