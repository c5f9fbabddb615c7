"""The parsers take their seeds, and no input that once broke a parser breaks one again."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fuzzing.targets import TARGETS

CORPUS = Path(__file__).with_name("corpus")
KEPT = sorted(path for path in CORPUS.glob("*/*") if path.is_file())


@pytest.mark.parametrize("name", TARGETS)
def test_a_target_takes_its_seeds_and_pieces_of_them(name: str) -> None:
    for seed in TARGETS[name].seeds():
        for end in (len(seed), len(seed) // 2, 1, 0):
            TARGETS[name].run(seed[:end])


@pytest.mark.parametrize("path", KEPT, ids=lambda path: f"{path.parent.name}-{path.name}")
def test_what_broke_a_parser_once_breaks_none_again(path: Path) -> None:
    TARGETS[path.parent.name].run(path.read_bytes())


@pytest.mark.parametrize("name", TARGETS)
@settings(max_examples=25)
@given(data=st.data())
def test_a_target_survives_changed_seeds(name: str, data: st.DataObject) -> None:
    seed = data.draw(st.sampled_from(TARGETS[name].seeds()))
    at = data.draw(st.integers(0, len(seed)))
    TARGETS[name].run(seed[:at] + data.draw(st.binary(max_size=20)) + seed[at:])
