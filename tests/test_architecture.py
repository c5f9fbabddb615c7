"""The house keeps its own rules, and its picture is the one that the imports draw."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

SCRIPT = Path(__file__).parents[1] / "scripts" / "architecture.py"


def load() -> ModuleType:
    """The script, as a module."""
    spec = importlib.util.spec_from_file_location("architecture", SCRIPT)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look for it there
    spec.loader.exec_module(module)
    return module


architecture = load()


def test_imports_lead_downwards_and_rooms_modules_and_classes_are_small() -> None:
    assert architecture.against_the_rules(architecture.House()) == []


def test_the_committed_picture_is_up_to_date() -> None:
    text = architecture.DOCUMENT.read_text(encoding="utf-8")
    assert architecture.drawn(text, architecture.House()) == text, "run scripts/architecture.py"


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({"a/__init__.py": "", "b/__init__.py": "", "a/x.py": "import house.b"}, None),
        (
            {"a.py": "def f():\n    from house import b", "b.py": "from house.a import f"},
            "house: imports in a circle: a -> b -> a",
        ),
        (
            {"a/__init__.py": "from house.a.x import X", "a/x.py": "from house.a import X"},
            "house.a.x imports house.a, the door of a room that it is in",
        ),
        (
            {"a/__init__.py": "", **{f"a/m{number}.py": "" for number in range(13)}},
            "house.a has 13 entries: m0",
        ),
        ({"a.py": "x = 1\n" * 501}, "house.a has 501 lines"),
        ({"a.py": "class A:\n" + "    x = 1\n" * 300}, "the class house.a.A has 301 lines"),
    ],
)
def test_what_is_against_the_rules_is_found(
    files: dict[str, str], said: str | None, tmp_path: Path
) -> None:
    for name, text in {"__init__.py": "", **files}.items():
        path = tmp_path / "house" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    found = architecture.against_the_rules(architecture.House(tmp_path / "house"))
    assert [line.startswith(said) for line in found] == ([] if said is None else [True]), found
