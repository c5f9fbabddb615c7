"""Requirements in other files: dependency groups (PEP 735) and scripts (PEP 723)."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from packaging.specifiers import InvalidSpecifier, SpecifierSet

from securepip.errors import SecurepipError

if TYPE_CHECKING:
    from securepip.resolver import TargetEnvironment

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

# The regular expression of the specification ("Inline script metadata").
_BLOCK = re.compile(r"(?m)^# /// (?P<type>[a-zA-Z0-9-]+)$\s(?P<content>(^#(| .*)$\s)+)^# ///$")


def read_groups(groups: Sequence[tuple[str, str]]) -> list[str]:
    """The requirements of dependency groups.

    Args:
        groups: Paths of ``pyproject.toml`` files, each with the name of a group.

    Raises:
        SecurepipError: A file cannot be read, or a group is not there or not valid.
    """
    from packaging.dependency_groups import DependencyGroupResolver
    from packaging.errors import ExceptionGroup

    found: list[str] = []
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
            found += [str(one) for one in resolver.resolve(name)]
        except ExceptionGroup as error:
            raise SecurepipError(
                f"[dependency-groups] resolution failed for '{name}' from '{path}': "
                f"{_joined(error)}"
            ) from None
    return found


def read_script(
    path: str, environment: TargetEnvironment, ignore_requires_python: bool
) -> list[str]:
    """The requirements of a script's inline metadata.

    Raises:
        SecurepipError: It cannot be read, has no metadata, or is for another Python.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SecurepipError(f"The script {path!r} cannot be read: {error}") from None
    blocks = [match for match in _BLOCK.finditer(text) if match["type"] == "script"]
    if not blocks:
        raise SecurepipError(f"File does not contain 'script' metadata: {path!r}")
    if len(blocks) > 1:
        raise SecurepipError(f"Multiple 'script' blocks found in {path!r}")
    lines = blocks[0]["content"].splitlines(keepends=True)
    try:
        content = tomllib.loads("".join(line[2 if line[1:2] == " " else 1 :] for line in lines))
    except tomllib.TOMLDecodeError:
        raise SecurepipError(f"Failed to parse TOML in {path!r}") from None
    python = content.get("requires-python", "")
    wanted = content.get("dependencies", [])
    if not (isinstance(wanted, list) and all(isinstance(one, str) for one in wanted)):
        raise SecurepipError(f"The dependencies in {path!r} are not a list of strings")
    try:
        admitted = SpecifierSet(python).contains(environment.version, prereleases=True)
    except (InvalidSpecifier, TypeError, AttributeError):
        raise SecurepipError(f"Invalid requires-python in {path!r}: {python!r}") from None
    if not admitted and not ignore_requires_python:
        raise SecurepipError(
            f"Script {path!r} requires a different Python: {environment.version} not in {python!r}"
        )
    return list(wanted)


def _read_toml(path: str) -> dict[str, Any]:
    try:
        return tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise SecurepipError(f"{path} not found. Cannot resolve '--group' option.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SecurepipError(f"Error parsing {path}: {error}") from None
    except OSError as error:
        raise SecurepipError(f"Error reading {path}: {error}") from None


def _joined(error: Any) -> str:
    return "; ".join(str(one) for one in error.exceptions)
