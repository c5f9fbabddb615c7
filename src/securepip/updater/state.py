"""What the trusted state of a repository says, for people: roles, versions, expiry."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from tuf.api.exceptions import RepositoryError
from tuf.api.metadata import Metadata


@dataclass(frozen=True)
class RoleState:
    """One role as it was verified last.

    Attributes:
        name: The role.
        version: Its version.
        expires: Until when it is good (UTC).
    """

    name: str
    version: int
    expires: datetime


def describe_state(state: Path) -> list[RoleState]:
    """The top-level roles in a state folder; those that are not there are left out."""
    described = []
    for name in ("root", "timestamp", "snapshot", "targets"):
        try:
            signed = Metadata[Any].from_bytes((state / f"{name}.json").read_bytes()).signed
        except (OSError, RepositoryError, ValueError):
            continue
        described.append(RoleState(name, signed.version, signed.expires))
    return described
