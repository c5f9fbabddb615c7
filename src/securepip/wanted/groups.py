"""Dependency groups (PEP 735)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from securepip.errors import SecurepipError
from securepip.wanted.tables import parse_tables, read_bytes


def read_groups(groups: Sequence[tuple[str, str]]) -> list[str]:
    """The requirements in dependency groups.

    Args:
        groups: Paths of ``pyproject.toml`` files, each with the name of a group.

    Raises:
        SecurepipError: A file cannot be read, or a group is missing or not valid.
    """
    from packaging.dependency_groups import DependencyGroupResolver
    from packaging.errors import ExceptionGroup

    requirements: list[str] = []
    for path, name in groups:
        tables = _read_toml(path).get("dependency-groups")
        if tables is None:
            raise SecurepipError(
                f"[dependency-groups] table was missing from '{path}'. "
                "Cannot resolve '--group' option."
            )
        if not isinstance(tables, dict):
            raise SecurepipError(
                f"[dependency-groups] table was malformed in {path}. "
                "Cannot resolve '--group' option."
            )
        try:
            resolver = DependencyGroupResolver(tables)
        except ExceptionGroup as error:
            raise SecurepipError(
                f"[dependency-groups] data was invalid in {path}: {_joined(error)}"
            ) from None
        try:
            requirements += [str(one) for one in resolver.resolve(name)]
        except RecursionError:
            raise SecurepipError(
                f"[dependency-groups] of '{path}': '{name}' includes others too deeply"
            ) from None
        except ExceptionGroup as error:
            raise SecurepipError(
                f"[dependency-groups] resolution failed for '{name}' from '{path}': "
                f"{_joined(error)}"
            ) from None
    return requirements


def _read_toml(path: str) -> dict[str, object]:
    if not Path(path).exists():
        raise SecurepipError(f"{path} not found. Cannot resolve '--group' option.")
    return dict(parse_tables(path, read_bytes(path)).values)


def _joined(error: Any) -> str:
    return "; ".join(str(one) for one in error.exceptions)
