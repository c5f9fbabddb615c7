"""Starts downloads of metadata before python-tuf asks for it, and before python-tuf is imported.

Rule: what this module reads (the state folder, answers that are not verified yet) is a hint. It
decides only which URLs below the repository's ``metadata/`` are fetched early. python-tuf then asks
for each file in its own order, and verifies it.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple, Protocol
from urllib.parse import quote

from securepip.formats.layout import (
    BINS_ROLE,
    CLAIMED_ROLE,
    RECENTLY_CLAIMED_ROLE,
    bin_number,
    project_of_target,
    project_role,
    shard_names,
)
from securepip.transport import Transport

MAX_METADATA_BYTES = 128 << 20
"""The longest metadata file that is read, even if a longer one is announced."""
UNANNOUNCED_BYTES = 2 << 20
"""The longest metadata file that is fetched early if the snapshot announces no length for it. A
longer one is fetched when python-tuf asks for it, so only one at a time."""

_MAX_ROOT_BYTES = 512_000
_MAX_TIMESTAMP_BYTES = 16_384
_ROOT_NAME = re.compile(r"([1-9][0-9]*)\.root\.json")
_BIN_NAME = re.compile(r"([a-z][a-z0-9-]*)-[0-9a-f]+\.json")
"""The file name of a bin in a snapshot: its prefix, and its number."""
_UNREADABLE = (
    *(OSError, ValueError, KeyError, TypeError, AttributeError),
    *(OverflowError, RecursionError),
)
"""What reading a malformed hint raises. A malicious place may have sent it: an error that is not
caught would end the run before another place of the repository is asked."""


class Listed(Protocol):
    """A role as a snapshot lists it. python-tuf's ``MetaFile`` is one."""

    @property
    def version(self) -> int:
        """The role's version."""

    @property
    def length(self) -> int | None:
        """The length of the role's file in bytes; None if the snapshot does not say it."""


class _Known(NamedTuple):
    version: int
    length: int | None


class _Bins(NamedTuple):
    """How target paths are divided among hash bins (TAP 15).

    Attributes:
        prefix: What the bins' names begin with.
        bits: How many leading bits of a path's SHA-256 are the number of its bin.
    """

    prefix: str
    bits: int

    def role_of(self, target_path: str) -> str:
        digits = len(f"{(1 << self.bits) - 1:x}")
        return f"{self.prefix}-{bin_number(target_path, self.bits):0{digits}x}"


def begin(
    transport: Transport, metadata_url: str, state: Path, root: bytes | None, new: Iterable[str]
) -> None:
    """Begin to fetch the metadata that a refresh, and the first look-ups after it, will ask for.

    It guesses that nothing was signed since the last run: then the snapshot in the state folder
    lists the roles that are needed now.

    Args:
        transport: Fetches.
        metadata_url: The URL of the repository's metadata folder, not of this machine.
        state: The folder of its trusted metadata.
        root: Its pinned root.
        new: Target paths that no run has looked up yet.
    """
    following = f"{metadata_url}{_root_version(state, root) + 1}.root.json"
    transport.begin_ahead(following, max_bytes=_MAX_ROOT_BYTES)
    transport.begin_ahead(f"{metadata_url}timestamp.json", max_bytes=_MAX_TIMESTAMP_BYTES)
    paths = tuple(new)
    listed = _last_listed(state) if paths else {}
    if listed:

        def warm(url: str, length: int | None) -> None:
            transport.begin_ahead(url, max_bytes=early_limit(length))

        RolesAhead(metadata_url, state, listed, warm).begin(paths, wait=False)


def early_limit(length: int | None) -> int:
    """The longest body that is fetched early for a role with that announced length, in bytes."""
    return min(length or UNANNOUNCED_BYTES, MAX_METADATA_BYTES)


class RolesAhead:
    """Begins to fetch the listed roles that look-ups will need.

    Args:
        metadata_url: The URL of the repository's metadata folder.
        state: The folder of its trusted metadata.
        snapshot: What the snapshot lists, by file name.
        warm: Begins to fetch a file, given its URL and its announced length, if there is one.
        warmed: Waits for, and returns, the file that ``warm`` began to fetch from a URL.
    """

    def __init__(
        self,
        metadata_url: str,
        state: Path,
        snapshot: Mapping[str, Listed],
        warm: Callable[[str, int | None], None],
        warmed: Callable[[str], bytes | None] = lambda url: None,
    ) -> None:
        self._metadata_url = metadata_url
        self._state = state
        self._snapshot = snapshot
        self._fetch = warm
        self._fetched = warmed
        self._division: _Bins | None = None
        self._asked: set[str] = set()

    def begin(self, target_paths: Iterable[str], *, wait: bool) -> None:
        """Begin to fetch the roles that lead to these targets.

        Args:
            target_paths: Target paths, known to the repository or not.
            wait: Whether to wait for the ``bins`` role, which says how many bins there are. If
                not, the number is guessed from the names that the snapshot lists.
        """
        unclaimed = [path for path in target_paths if not self._warm_claim(path)]
        if unclaimed and (bins := self._bins(wait)):
            for path in unclaimed:
                self.warm(bins.role_of(path))

    def warm(self, role: str) -> None:
        """Begin to fetch a role, unless the state folder has the version that is listed."""
        if role in self._asked:
            return
        self._asked.add(role)
        listed = self._snapshot.get(f"{role}.json")
        if listed is not None and not self._is_current(role):
            self._fetch(self._url(role), listed.length)

    def _bins(self, wait: bool) -> _Bins | None:
        if self._division is None:
            for role in (CLAIMED_ROLE, RECENTLY_CLAIMED_ROLE, BINS_ROLE):
                self.warm(role)
            if not wait and not self._is_current(BINS_ROLE):
                return _bins_by_name(self._snapshot)
            with suppress(*_UNREADABLE):
                data = self._fetched(self._url(BINS_ROLE)) or self._path(BINS_ROLE).read_bytes()
                roles: Any = json.loads(data)["signed"]["delegations"]["succinct_roles"]
                bits = int(roles["bit_length"])
                if 0 < bits <= 32:
                    self._division = _Bins(str(roles["name_prefix"]), bits)
        return self._division

    def _warm_claim(self, target_path: str) -> bool:
        """Begin to fetch the project's own role, if it has one, and the roles that lead to it.

        The names of these roles follow from the project's name, and the snapshot lists every role.

        Returns:
            Whether the project has a role of its own. Then its bin is not needed.
        """
        project = project_of_target(target_path)
        if project is None:
            return False
        role = project_role(project)
        has_role = f"{role}.json" in self._snapshot
        for top in (CLAIMED_ROLE, RECENTLY_CLAIMED_ROLE):
            names = [top, *shard_names(top, project)] if has_role else shard_names(top, project)
            for name in names:
                self.warm(name)
            if has_role and any(self._names_role(name, role) for name in names):
                break
        self.warm(role)
        return has_role

    def _names_role(self, delegator: str, role: str) -> bool:
        """Whether the file of ``delegator`` in the state folder delegates to ``role``."""
        try:
            document: Any = json.loads(self._path(delegator).read_bytes())
            return any(each["name"] == role for each in document["signed"]["delegations"]["roles"])
        except _UNREADABLE:
            return False

    def _is_current(self, role: str) -> bool:
        """Whether the state folder has the version of the role that the snapshot lists."""
        try:
            document: Any = json.loads(self._path(role).read_bytes())
            return bool(document["signed"]["version"] == self._snapshot[f"{role}.json"].version)
        except _UNREADABLE:
            return False

    def _path(self, role: str) -> Path:
        return self._state / f"{quote(role, '')}.json"

    def _url(self, role: str) -> str:
        listed = self._snapshot.get(f"{role}.json")
        return f"{self._metadata_url}{listed.version if listed else 0}.{quote(role, '')}.json"


def _root_version(state: Path, root: bytes | None) -> int:
    """The version of the newest root that is known here; 0 if there is none."""
    with suppress(OSError):
        names = [_ROOT_NAME.fullmatch(each.name) for each in (state / "root_history").iterdir()]
        if versions := [int(name[1]) for name in names if name]:
            return max(versions)
    with suppress(*_UNREADABLE):
        return int(json.loads(root or b"")["signed"]["version"])
    return 0


def _last_listed(state: Path) -> dict[str, _Known]:
    """What the snapshot in the state folder lists; nothing if it cannot be read."""
    try:
        listed = json.loads((state / "snapshot.json").read_bytes())["signed"]["meta"]
        return {
            name: _Known(int(each["version"]), int(each.get("length", 0)))
            for name, each in listed.items()
        }
    except _UNREADABLE:
        return {}


def _bins_by_name(snapshot: Mapping[str, Listed]) -> _Bins | None:
    """How target paths are divided, by the names of the bins; None if names have two prefixes.

    It saves the round trip that would fetch the ``bins`` role first.
    """
    names = (_BIN_NAME.fullmatch(name) for name in snapshot)
    prefixes = Counter(match[1] for match in names if match)
    if len(prefixes) != 1:
        return None
    ((prefix, count),) = prefixes.items()
    bits = count.bit_length() - 1
    return _Bins(prefix, bits) if bits and count == 1 << bits else None
