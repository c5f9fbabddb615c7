"""Reads what a request names (arguments, groups, locks, files, scripts), in pip's order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from securepip.cli import console
from securepip.errors import SecurepipError

if TYPE_CHECKING:
    from securepip.cli.pip_commands.requests import PipRequest
    from securepip.lock import Locked
    from securepip.resolver import ReadUrl, ResolveInput, TargetEnvironment, UserRequirement


def read_given(
    request: PipRequest, environment: TargetEnvironment, locked: Locked | None, read_url: ReadUrl
) -> ResolveInput:
    """Read everything that the request names.

    Args:
        request: What the command line asks for.
        environment: The target.
        locked: The contents of the lock files among the requirements files.
        read_url: Reads a file at an address.

    Raises:
        SecurepipError: Something cannot be read or honoured.
    """
    from securepip import resolver

    named = request.named
    groups = [resolver.parse_requirement(one) for one in _in_groups(named.groups)]
    given = resolver.read_requirements(
        named.words,
        [name for name in named.requirements if locked is None or name not in locked.names],
        named.constraints,
        editables=named.editables,
        more=[*groups, *(locked.requirements if locked is not None else ())],
        config_settings=named.config_settings,
        no_require_hashes=named.no_require_hashes,
        read_url=read_url,
    )
    for script in named.scripts:
        wanted = _in_script(script, environment, request.choosing.ignore_requires_python)
        asked = tuple(resolver.parse_requirement(text) for text in wanted)
        given = replace(given, requirements=(*given.requirements, *asked))
    return given


def _in_groups(groups: Sequence[tuple[str, str]]) -> list[str]:
    if not groups:
        return []  # without importing the libraries that are needed otherwise
    from securepip.wanted import read_groups

    return read_groups(groups)


def _in_script(
    path: str, environment: TargetEnvironment, ignore_requires_python: bool
) -> tuple[str, ...]:
    """The requirements of a script's inline metadata.

    Raises:
        SecurepipError: It cannot be read, has no valid metadata, or is for another Python.
    """
    from packaging.specifiers import InvalidSpecifier, SpecifierSet

    from securepip.wanted import read_script_metadata

    script = read_script_metadata(path)
    try:
        admitted = SpecifierSet(script.requires_python).contains(
            environment.version, prereleases=True
        )
    except InvalidSpecifier:
        raise SecurepipError(
            f"Invalid requires-python in {path!r}: {script.requires_python!r}"
        ) from None
    if not admitted and not ignore_requires_python:
        raise SecurepipError(
            f"Script {path!r} requires a different Python: {environment.version} not in "
            f"{script.requires_python!r}"
        )
    return script.dependencies


def read_lock_files(
    request: PipRequest, environment: TargetEnvironment, read_url: ReadUrl
) -> Locked | None:
    """Read the lock files among the requirements files; None where there are none.

    Raises:
        SecurepipError: One cannot be read, or is not for the target.
    """
    # The libraries for lock files are imported only if one may be named.
    if not any("pylock" in name for name in request.named.requirements):
        return None
    from securepip.lock import is_lock_file, read_locks

    names = [name for name in request.named.requirements if is_lock_file(name)]
    if not names:
        return None
    if request.target.is_overridden:
        raise SecurepipError(
            "Platform and interpreter constraints using --python-version, --platform, --abi, or "
            "--implementation, are not supported when selecting requirements from "
            f"{names[0]!r}"
        )
    console.warn(
        "Using pylock.toml as a requirements source is an experimental feature, as in pip. It may "
        "be changed in a future release without prior warning."
    )
    return read_locks(names, environment, read_url)


def read_build_constraints(files: Sequence[str], read_url: ReadUrl) -> tuple[UserRequirement, ...]:
    """The constraints in ``--build-constraint`` files.

    Raises:
        SecurepipError: One of them cannot be read.
    """
    from securepip import resolver

    return resolver.read_requirements(constraint_files=files, read_url=read_url).constraints
