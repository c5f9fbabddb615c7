"""The catalogue of attacks names tests that exist, and kinds and ways that the report knows."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests.attacks.catalogue import CATALOGUE, Row
from tests.attacks.marks import APPENDIX_A, KINDS, WAYS

TESTS = Path(__file__).parents[1]


@pytest.mark.parametrize("row", CATALOGUE, ids=lambda row: f"{row.module}-{row.kind}")
def test_what_is_named_exists(row: Row) -> None:
    assert row.kind in KINDS
    assert row.ways
    assert set(row.ways) <= set(WAYS)
    tree = ast.parse((TESTS / f"{row.module}.py").read_text())
    there = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
    assert {f"test_{name}" for name in row.tests} <= there


def test_every_attack_of_the_appendix_is_tried() -> None:
    assert len(APPENDIX_A) == 10
    assert set(APPENDIX_A) <= {row.kind for row in CATALOGUE}
