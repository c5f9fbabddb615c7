#!/usr/bin/env python3
"""Draws diagrams of the package from its imports, and checks the rules for its structure.

    scripts/architecture.py            writes the diagrams into docs/architecture.md
    scripts/architecture.py --check    prints violations of the rules; then the exit code is 1

The house is the package `securepip`, and a room is a package in it. The entries of a room are the
modules and rooms in it; its door is its `__init__`. All imports count, also those inside functions
and those for type checking only. Rules:

- imports lead downwards: the entries of a room can be sorted so that none imports one above it, and
  no module in a room imports the door of that room;
- a room has at most 12 entries, a module at most 500 lines, a class at most 300.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parent.parent
DOCUMENT = CHECKOUT / "docs" / "architecture.md"
MAX_ENTRIES = 12
MAX_LINES = 500
MAX_CLASS_LINES = 300

# The limit on entries does not apply to the house itself. Its own door only holds the version,
# which every room may import.
_NO_ENTRIES = {"__init__", "__main__"}

Arrows = Mapping[str, frozenset[str]]
"""For each entry of a room, the entries of the same room that it imports."""


@dataclass(frozen=True)
class Module:
    """A module.

    Attributes:
        name: Its full name; for a door, that of its room.
        is_door: Whether it is the ``__init__`` of its room.
        text: Its source.
    """

    name: str
    is_door: bool
    text: str

    @cached_property
    def tree(self) -> ast.Module:
        """The syntax tree of its source."""
        return ast.parse(self.text)

    @property
    def summary(self) -> str:
        """The first sentence of its docstring."""
        words = " ".join((ast.get_docstring(self.tree) or "").split("\n\n")[0].split())
        return re.split(r"(?<=[.])\s", words)[0].replace("``", "`")


@dataclass(frozen=True)
class House:
    """All modules of a package, and their imports.

    Attributes:
        folder: The folder of the package.
    """

    folder: Path = field(default=CHECKOUT / "src" / "securepip")

    @property
    def name(self) -> str:
        """The name of the package."""
        return self.folder.name

    @cached_property
    def modules(self) -> dict[str, Module]:
        """All modules, by name."""
        modules = {}
        for path in sorted(self.folder.rglob("*.py")):
            parts = (self.name, *path.relative_to(self.folder).with_suffix("").parts)
            is_door = parts[-1] == "__init__"
            name = ".".join(parts[:-1] if is_door else parts)
            modules[name] = Module(name, is_door, path.read_text(encoding="utf-8"))
        return modules

    @cached_property
    def imports(self) -> dict[str, set[str]]:
        """For each module, the modules of the house that it imports."""
        return {name: set(self._imported_by(module)) for name, module in self.modules.items()}

    def entries(self, room: str) -> list[str]:
        """The names of the modules and rooms in a room, without its door."""
        depth = room.count(".") + 1
        names = {name.split(".")[depth] for name in self.modules if name.startswith(f"{room}.")}
        return sorted(names - _NO_ENTRIES)

    def rooms(self) -> list[str]:
        """The names of all rooms, with the house itself first."""
        return [name for name, module in self.modules.items() if module.is_door]

    def arrows(self, room: str) -> Arrows:
        """The imports between the entries of a room."""
        depth = room.count(".") + 1
        arrows: dict[str, set[str]] = {entry: set() for entry in self.entries(room)}
        for importer, imported in self.imports.items():
            for name in imported:
                if all(each.startswith(f"{room}.") for each in (importer, name)):
                    start, end = importer.split(".")[depth], name.split(".")[depth]
                    if start != end and start in arrows:
                        arrows[start].add(end)
        return {entry: frozenset(ends) for entry, ends in arrows.items()}

    def doors_entered_from_inside(self) -> Iterator[tuple[str, str]]:
        """The modules that import the door of a room that they are in, each with that room."""
        for importer, imported in self.imports.items():
            for name in imported - {self.name}:
                if self.modules[name].is_door and importer.startswith(f"{name}."):
                    yield importer, name

    def _imported_by(self, module: Module) -> Iterator[str]:
        for node in ast.walk(module.tree):
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                inside = [f"{node.module}.{alias.name}" for alias in node.names]
                names = [name if name in self.modules else node.module for name in inside]
            else:
                continue
            yield from (name for name in names if name in self.modules and name != module.name)


def against_the_rules(house: House) -> list[str]:
    """The violations of the rules, a line for each."""
    violations = []
    for room in house.rooms():
        entries = house.entries(room)
        if room != house.name and len(entries) > MAX_ENTRIES:
            violations.append(f"{room} has {len(entries)} entries: {', '.join(entries)}")
        cycle = find_cycle(house.arrows(room))
        if cycle:
            violations.append(f"{room}: imports in a circle: {' -> '.join(cycle)}")
    for importer, door in house.doors_entered_from_inside():
        violations.append(f"{importer} imports {door}, the door of a room that it is in")
    for name, module in house.modules.items():
        count = module.text.count("\n")
        if count > MAX_LINES:
            violations.append(f"{name} has {count} lines")
        for node in ast.walk(module.tree):
            if isinstance(node, ast.ClassDef) and node.end_lineno is not None:
                length = node.end_lineno - node.lineno + 1
                if length > MAX_CLASS_LINES:
                    violations.append(f"the class {name}.{node.name} has {length} lines")
    return violations


def find_cycle(arrows: Arrows) -> list[str]:
    """Entries that import each other in a circle, the first repeated at the end; [] if none do."""
    visited: set[str] = set()

    def walk(entry: str, path: list[str]) -> list[str]:
        if entry in path:
            return [*path[path.index(entry) :], entry]
        if entry not in visited:
            for end in sorted(arrows[entry]):
                cycle = walk(end, [*path, entry])
                if cycle:
                    return cycle
            visited.add(entry)
        return []

    for start in sorted(arrows):
        cycle = walk(start, [])
        if cycle:
            return cycle
    return []


def picture(arrows: Arrows) -> str:
    """A Mermaid diagram. Where a imports b and b imports c, an arrow from a to c is left out."""
    below: dict[str, set[str]] = {}

    def reached(entry: str) -> set[str]:
        if entry not in below:
            below[entry] = set()  # stops the recursion where the imports form a circle
            below[entry] = set(arrows[entry]).union(*map(reached, arrows[entry]))
        return below[entry]

    lines = ["```mermaid", "flowchart TD", *(f"    {_id(entry)}[{entry}]" for entry in arrows)]
    for entry, ends in arrows.items():
        over = set().union(*(reached(end) for end in ends))
        lines += [f"    {_id(entry)} --> {_id(end)}" for end in sorted(ends - over)]
    return "\n".join([*lines, "```"])


def chapters(house: House) -> str:
    """The generated part of the document: the house, then each room that has rooms in it."""
    doors = {entry: house.modules[f"{house.name}.{entry}"] for entry in house.entries(house.name)}
    lines = [
        picture(house.arrows(house.name)),
        "",
        "| room | what is behind its door |",
        "|---|---|",
        *(f"| `{entry}` | {door.summary} |" for entry, door in doors.items()),
    ]
    for room in house.rooms()[1:]:
        inside = house.entries(room)
        if any(house.modules[f"{room}.{entry}"].is_door for entry in inside):
            summary = house.modules[room].summary
            title = room.removeprefix(f"{house.name}.").replace(".", "/")
            lines += ["", f"## Inside `{title}`", "", summary, "", picture(house.arrows(room))]
    return "\n".join(lines)


def drawn(text: str, house: House) -> str:
    """The document with its generated part brought up to date."""
    start, end = "<!-- drawn by scripts/architecture.py -->", "<!-- end of what is drawn -->"
    before, _, rest = text.partition(start)
    _, _, after = rest.partition(end)
    return f"{before}{start}\n\n{chapters(house)}\n\n{end}{after}"


def _id(entry: str) -> str:
    # With a prefix, because `end` and other names are keywords in Mermaid.
    return f"m_{entry}"


def main() -> int:
    house = House()
    if sys.argv[1:] == ["--check"]:
        violations = against_the_rules(house)
        if drawn(DOCUMENT.read_text(encoding="utf-8"), house) != DOCUMENT.read_text("utf-8"):
            violations.append("docs/architecture.md is out of date: run scripts/architecture.py")
        print(*violations, sep="\n", end="\n" if violations else "")
        return 1 if violations else 0
    DOCUMENT.write_text(drawn(DOCUMENT.read_text(encoding="utf-8"), house), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
