"""``pyproject.toml``: the dependencies of a project, with all extras, and its build requirements.

Dependency groups are not read here: the user names those that are wanted (``groups``), as for pip.

Sources: PEP 621, PEP 518.
"""

from __future__ import annotations

from collections.abc import Iterator

from packaging.utils import canonicalize_name

from securepip.errors import RequirementError
from securepip.resolver import UserRequirement
from securepip.wanted.tables import Table


def is_it(tables: Table) -> bool:
    """Whether these are the tables of such a file."""
    return bool({"project", "build-system"} & tables.values.keys())


def read(tables: Table) -> Iterator[UserRequirement]:
    """The requirements in it.

    Raises:
        RequirementError: It is not valid, or does not contain the dependencies of the project.
    """
    project, own = tables.table("project"), _own_name(tables)
    left_open = {"dependencies", "optional-dependencies"} & set(project.texts("dynamic"))
    elsewhere = "tool.poetry" if tables.table("tool").table("poetry").table("dependencies") else ""
    if left_open:
        raise _not_said(tables, f"leaves its {' and '.join(sorted(left_open))} to a build")
    if elsewhere and "dependencies" not in project.values:
        raise _not_said(tables, "has its dependencies in a table of Poetry's own")
    yield from _each(project, project.texts("dependencies"), own)
    extras = project.table("optional-dependencies")
    for extra in extras.values:
        yield from _each(Table(f"{extras.where}, {extra}", {}), extras.texts(extra), own)
    build = tables.table("build-system")
    yield from _each(build, build.texts("requires"), own)


def _own_name(tables: Table) -> str:
    return canonicalize_name(tables.table("project").text("name"))


def _each(place: Table, texts: list[str], own: str) -> Iterator[UserRequirement]:
    for text in texts:
        requirement = place.requirement(text)
        # An extra of "app" may require "app[test]"; all extras are read anyway.
        if requirement.project != own:
            yield requirement


def _not_said(tables: Table, what: str) -> RequirementError:
    return RequirementError(
        f"{tables.where} {what}.",
        meaning="So the file alone does not say which projects are needed.",
        remedy="Name the lock file of the project instead: poetry.lock, pdm.lock, uv.lock or "
        "pylock.toml.",
    )
