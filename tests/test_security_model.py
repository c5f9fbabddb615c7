"""The security model points at tests: they exist, and every dependency has its reason."""

from __future__ import annotations

import ast
import re
import sys
from pathlib import Path

import pytest
from packaging.requirements import Requirement

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

CHECKOUT = Path(__file__).parents[1]
MODEL = (CHECKOUT / "SECURITY.md").read_text()
_LINK = re.compile(r"\[`?([\w.]+)(?:::(\w+))?`?\]\((tests/[\w/.]+)\)")


@pytest.mark.parametrize(("label", "name", "path"), _LINK.findall(MODEL))
def test_a_test_that_the_model_points_at_exists(label: str, name: str, path: str) -> None:
    assert Path(path).name == label
    tree = ast.parse((CHECKOUT / path).read_text())
    tests = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
    if name:
        assert name in tests
    assert any(test.startswith("test_") for test in tests)


def test_every_promise_ends_with_a_test() -> None:
    promises = MODEL.partition("## What is promised")[2].partition("## What is not promised")[0]
    points = re.findall(r"^- (.*?)(?=^- |^#|^\w|\Z)", promises, re.MULTILINE | re.DOTALL)
    assert len(points) > 20
    for point in points:
        assert _LINK.search(point), point


def test_every_dependency_of_the_lock_has_its_reason() -> None:
    listed = MODEL.partition("## What we trust")[2]
    rows = [row.split("|")[1] for row in listed.splitlines() if row.startswith("| ")]
    explained = {name.strip() for row in rows for name in row.split(",")}
    lock = tomllib.loads((CHECKOUT / "pylock.toml").read_text())
    locked = {package["name"] for package in lock["packages"]}
    assert locked <= explained
    assert explained - locked <= {"dependency", "---"}


def test_every_extra_has_its_reason() -> None:
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]
    explained = MODEL.partition("The extras are not in the lock")[2]
    for extra, requirements in project["optional-dependencies"].items():
        assert f"`[{extra}]`" in explained
        assert all(Requirement(each).name in explained for each in requirements)
