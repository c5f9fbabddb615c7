"""The catalogue of attacks names tests that exist, and kinds and ways that the report knows."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from tests.attacks.catalogue import CATALOGUE, Row
from tests.attacks.laboratory import test_laboratory as laboratory
from tests.attacks.marks import APPENDIX_A, KINDS, PIP_WITHSTANDS, PLAIN_PIP, WAYS
from tests.attacks.report import Collector, table

TESTS = Path(__file__).parents[1]
_RUNS_PIP = re.compile(r"fool|pip_install|plain|\.pip\(|\.is_refused\(")


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


def test_a_test_that_is_listed_for_plain_pip_runs_plain_pip() -> None:
    for row in CATALOGUE:
        if PLAIN_PIP in row.ways:
            assert row.tests, "each is named"
            tree = ast.parse((TESTS / f"{row.module}.py").read_text())
            for node in ast.walk(tree):
                if isinstance(node, ast.FunctionDef) and node.name[5:] in row.tests:
                    body = "\n".join(map(ast.unparse, node.body))
                    assert _RUNS_PIP.search(body), (row, node.name)


def test_no_cell_of_the_appendix_is_empty_where_plain_pip_falls() -> None:
    """The report counts only tests that have a mark, those with plain pip as well."""
    found = Collector()
    for case in laboratory.PIP_CASES + laboratory.CASES:
        for mark in case.marks:
            found.count([("attack", [mark.args[0], mark.args[1:]])])
    cells = {line.split("**")[1]: line for line in table(found, APPENDIX_A).splitlines()[2:]}
    assert set(cells) == set(APPENDIX_A)
    for kind, line in cells.items():
        said = line.split(" | ")[1]
        assert said == PIP_WITHSTANDS.get(kind) or re.fullmatch(r"works, \d+", said), line
