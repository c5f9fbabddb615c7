"""Describes the trusted state of a repository to people: roles, versions, expiry, promises."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TypeVar

from tuf.api.exceptions import RepositoryError
from tuf.api.metadata import Metadata, Root, Snapshot, Targets, Timestamp

from securepip.formats.layout import ALL_ROLES, project_of_role
from securepip.updater.checked import known_naming

S = TypeVar("S", Root, Timestamp, Snapshot, Targets)


@dataclass(frozen=True)
class RoleState:
    """One role as it was verified last.

    Attributes:
        name: The role.
        version: Its version.
        expires: When it expires (UTC).
    """

    name: str
    version: int
    expires: datetime


def describe_state(state: Path) -> list[RoleState]:
    """The top-level roles in a state folder, without those that it does not have."""
    roles = (
        _read(state, Root),
        _read(state, Timestamp),
        _read(state, Snapshot),
        _read(state, Targets),
    )
    return [RoleState(each.type, each.version, each.expires) for each in roles if each is not None]


def count_project_roles(state: Path) -> int:
    """How many projects sign for themselves, by the snapshot in the state folder."""
    snapshot = _read(state, Snapshot)
    listed = snapshot.meta if snapshot else ()
    return sum(project_of_role(name.removesuffix(".json")) is not None for name in listed)


def describe_names(state: Path) -> str:
    """Whether one signed role of the repository could be served as another, in a sentence.

    Raises:
        SecurepipError: The file of the repository's promise is damaged.
    """
    named = known_naming(state).named
    if named == ALL_ROLES:
        return "every role says its name and its repository; online keys cannot take that back"
    if named is not None:
        return (
            "every role says its name and its repository, those of projects that sign for "
            "themselves perhaps not; online keys cannot take that back"
        )
    snapshot = _read(state, Snapshot)
    if snapshot is None:
        return "not known yet: nothing was read from the repository so far"
    if all(meta.hashes for meta in snapshot.meta.values()):
        return "roles need not say their names; the snapshot gives the digest of each"
    return (
        "roles need not say their names: whoever answers in the repository's place can show an "
        "empty list of files for another one, and so hide projects from a machine that has not "
        "seen them before. A repository of securepip ends that with `securepip repo refresh` and "
        "a ceremony, or `refresh --offline-keys`; ask its operator"
    )


def _read(state: Path, kind: type[S]) -> S | None:
    """The role of that kind in a state folder; None if there is none that can be read."""
    try:
        signed = Metadata[S].from_bytes((state / f"{kind.type}.json").read_bytes()).signed
    except (OSError, RepositoryError):
        return None
    return signed if isinstance(signed, kind) else None
