"""An environment gets one file: the modules of the shim, which do not import securepip."""

from __future__ import annotations

import ast
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from pathlib import Path
from typing import Any

import pytest

from securepip import plugin
from securepip.plugin import joined
from securepip.plugin.joined import LATER, MODULES, joined_shim


def _parts() -> list[ast.Module]:
    """The part that runs in each command, and the part that is compiled only when pip fetches."""
    now = ast.parse(joined_shim(), feature_version=(3, 10))
    (later,) = (
        node.value.value
        for node in now.body
        if isinstance(node, ast.Assign)
        and isinstance(node.value, ast.Constant)
        and ast.unparse(node.targets[0]) == "_LATER"
    )
    return [now, ast.parse(str(later), feature_version=(3, 10))]


def test_what_is_installed_is_the_modules_joined(enabled_environment: Path) -> None:
    (installed,) = enabled_environment.glob("lib/python*/site-packages/_securepip_plugin.py")
    assert installed.read_text(encoding="utf-8") == joined_shim()
    folder = Path(plugin.__file__).parent / "shim"
    there = {f"plugin/shim/{path.stem}" for path in folder.glob("*.py")} - {"plugin/shim/__init__"}
    assert there <= {*MODULES, *LATER}
    assert ast.unparse(_parts()[1]).startswith("from __future__")


def test_the_joined_file_runs_where_there_is_only_python_3_9_and_pip() -> None:
    imported = set()
    for node in chain.from_iterable(map(ast.walk, _parts())):
        if isinstance(node, ast.Import):
            imported |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            imported.add(str(node.module))
    assert {name.partition(".")[0] for name in imported} <= {*sys.stdlib_module_names, "pip"}


def test_no_module_of_the_shim_takes_the_name_of_what_another_one_has() -> None:
    defined: Counter[str] = Counter()
    for node in chain.from_iterable(part.body for part in _parts()):
        if isinstance(node, (ast.ClassDef, ast.FunctionDef)):
            defined[node.name] += 1
        elif isinstance(node, ast.Assign):
            defined.update(target.id for target in node.targets if isinstance(target, ast.Name))
    assert [name for name, count in defined.items() if count > 1] == []


def test_what_comes_later_ends_where_its_quotes_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(joined, "LATER", ("plugin/joined",))
    with pytest.raises(ValueError, match="in what comes later"):
        joined_shim()


def test_what_fetches_is_not_compiled_before_pip_fetches() -> None:
    shim: dict[str, Any] = {"__name__": "_securepip_plugin"}
    exec(compile(joined_shim(), "shim", "exec"), shim)  # noqa: S102 - as the loader does
    seams = shim["_Seams"]([], [], lambda reason: None)
    assert seams.port() is None
    late = {name: name in shim for name in ("Gateway", "make_adapter", "check_requirements")}
    assert not any(late.values())
    made = list(ThreadPoolExecutor(8).map(lambda _: seams.gateway(), range(8)))
    assert {*map(id, made)} == {id(made[0])}
    assert isinstance(made[0], shim["Gateway"])
    assert set(late) <= set(shim)
    assert shim["make_adapter"](object, made[0]).__name__ == "GatewayAdapter"
