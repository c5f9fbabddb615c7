"""The one file that an environment gets is the modules of the shim, and needs no securepip."""

from __future__ import annotations

import ast
import sys
from collections import Counter
from pathlib import Path

from securepip import plugin
from securepip.plugin.joined import MODULES, joined_shim


def test_what_is_installed_is_the_modules_joined(enabled_environment: Path) -> None:
    (installed,) = enabled_environment.glob("lib/python*/site-packages/_securepip_plugin.py")
    assert installed.read_text(encoding="utf-8") == joined_shim()
    folder = Path(plugin.__file__).parent / "shim"
    there = {f"plugin/shim/{path.stem}" for path in folder.glob("*.py")} - {"plugin/shim/__init__"}
    assert there <= set(MODULES)


def test_the_joined_file_runs_where_there_is_only_python_3_9_and_pip() -> None:
    tree = ast.parse(joined_shim(), feature_version=(3, 9))
    imported = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            imported |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            imported.add(str(node.module))
    assert {name.partition(".")[0] for name in imported} <= {*sys.stdlib_module_names, "pip"}


def test_no_module_of_the_shim_takes_the_name_of_what_another_one_has() -> None:
    defined: Counter[str] = Counter()
    for node in ast.parse(joined_shim()).body:
        if isinstance(node, (ast.ClassDef, ast.FunctionDef)):
            defined[node.name] += 1
        elif isinstance(node, ast.Assign):
            defined.update(target.id for target in node.targets if isinstance(target, ast.Name))
    assert [name for name, count in defined.items() if count > 1] == []
