"""python-tuf's ``Updater``, which also sees to it that each role is the one that it is taken for.

Rule: ``formats.roles`` says what a role has to say of itself; this class asks it of every role
that python-tuf loads, from the network or from the state folder. What a repository's offline keys
once promised of its roles is kept in the state folder, and nothing takes it back.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote

from tuf.api.exceptions import RepositoryError
from tuf.api.metadata import Metadata, MetaFile, Root, Snapshot, Targets
from tuf.ngclient import Updater, UpdaterConfig

from securepip.dirs import replace_file, way_out
from securepip.errors import FormatError, SecurepipError
from securepip.formats.digests import parse_sha256, sha256_of
from securepip.formats.layout import ALL_ROLES, BINS_ROLE, CLAIMED_ROLE, OWN_ROLES
from securepip.formats.roles import Naming, check_role, naming_of
from securepip.updater.fetcher import Fetcher
from securepip.updater.same_version import check_same_version

_OFFLINE = (Targets.type, BINS_ROLE, CLAIMED_ROLE)
_PROMISE_NAME = "names-of-roles"
"""Not the name of a role's file: those end in ``.json``."""


class CheckedUpdater(Updater):
    """A client of a repository in which every role has one delegator, and is what it is called.

    python-tuf keeps one role of each name, and remembers all who have delegated to that name. Who
    has stolen the online keys, and may answer for one project, could so delegate to the name of
    the role, or shard, of a project that signs for itself, and put his own in its place.

    Args:
        state: The folder of trusted metadata.
        metadata_url: Where the repository's metadata is.
        fetcher: Fetches it.
        config: Limits.
        root: The pinned root, or None to start from the one in ``state``.
        listed: Called with what the snapshot lists, once it is verified and before anything that
            it lists is asked for.
    """

    def __init__(
        self,
        state: Path,
        metadata_url: str,
        fetcher: Fetcher,
        config: UpdaterConfig,
        root: bytes | None,
        listed: Callable[[Mapping[str, MetaFile]], None],
    ) -> None:
        self._state = state
        self._answers = fetcher
        self._listed = listed
        self._delegators: dict[str, str] = {}
        self._checked: set[str] = set()
        super().__init__(str(state), metadata_url, fetcher=fetcher, config=config, bootstrap=root)
        self.naming = known_naming(state)
        """What the roles of this repository have to say of themselves."""

    @property
    def snapshot(self) -> Mapping[str, MetaFile]:
        """Version and length by file name, of the snapshot that was verified."""
        return self._trusted_set.snapshot.meta

    def refresh(self) -> None:
        """As python-tuf; with the state folder locked."""
        super().refresh()
        if self._delegators != {"targets": "root"}:
            raise RepositoryError("this version of python-tuf loads roles in another way")
        if self.naming.named is not None and known_naming(self._state) != self.naming:
            document = {"repository": self.naming.repository, "named": self.naming.named}
            replace_file(self._state / _PROMISE_NAME, json.dumps(document).encode())

    def version_of(self, role: str) -> int | None:
        """The version of a role below root that was verified in this session; None for others."""
        loaded = self._trusted_set.get(role) if role in self._checked else None
        return loaded.version if isinstance(loaded, Targets) else None

    def _load_timestamp(self) -> None:
        """As python-tuf; asked for once more where it was refused and had been asked for early.

        Meanwhile another process may have seen a later one, or new keys may sign it.
        """
        try:
            super()._load_timestamp()
        except RepositoryError:
            if not self._answers.last_was_early:
                raise
            super()._load_timestamp()

    def _load_snapshot(self) -> None:
        super()._load_snapshot()
        self._listed(self.snapshot)

    def _load_local_metadata(self, rolename: str) -> bytes:
        """As python-tuf, which takes what cannot be read for what was never there.

        It would then believe an older state than the one that was seen.
        """
        try:
            return super()._load_local_metadata(rolename)
        except FileNotFoundError:
            raise
        except OSError as error:
            path = self._state / f"{quote(rolename, '')}.json"
            raise _unreadable(path, error.strerror or str(error)) from None

    def _load_root(self) -> None:
        """As python-tuf, which ends at the last root that it can read."""
        super()._load_root()
        following = f"{self._trusted_set.root.version + 1}.root.json"
        path = self._state / "root_history" / following
        if _read_if_there(path) is not None:
            raise _unreadable(path, "it does not follow the root before it, or could not be read")

    def _is_of_offline_keys(self, role: str) -> bool:
        """Whether offline keys sign it in a repository that promises names, as ours do."""
        return self.naming.named is not None and role.partition(".")[0] in _OFFLINE

    def _goes_only_onward(self, role: str) -> bool:
        """Whether a snapshot that lists an older version of a role than was seen is a false one.

        What offline keys sign never goes back in a repository of ours, also where it recovers. What
        another process has put into the state folder since this snapshot was verified is of a later
        moment.
        """
        if not self._is_of_offline_keys(role):
            return False
        last = Metadata[Snapshot].from_bytes(self._load_local_metadata(Snapshot.type)).signed
        return last.version == self._trusted_set.snapshot.version

    def _load_targets(self, role: str, parent_role: str) -> Targets:
        if self._delegators.setdefault(role, parent_role) != parent_role:
            raise RepositoryError(
                f"the role {role!r:.300} has two delegators: {self._delegators[role]!r:.300} and "
                f"{parent_role!r:.300}"
            )
        delegator = self._trusted_set[parent_role]
        assert isinstance(delegator, Root | Targets)  # noqa: S101 - python-tuf loads it first
        with suppress(OSError):  # nothing of this role was seen yet
            known = self._load_local_metadata(role)
            listed = self.snapshot.get(f"{role}.json")
            if (listed is not None and listed.hashes) or self._is_of_offline_keys(role):
                check_same_version(
                    role, known, listed, delegator, only_onward=lambda: self._goes_only_onward(role)
                )
        targets = super()._load_targets(role, parent_role)
        if role not in self._checked:
            try:
                if role == "targets":
                    self.naming = self.naming.joined(naming_of(targets))
                check_role(role, targets, delegator, self.naming)
            except FormatError as error:
                # python-tuf has kept it, as validly signed as it is: neither the next place nor the
                # next run would be asked for the right one. A python-tuf that keeps it in another
                # way refuses it at the next place, too.
                with suppress(AttributeError):
                    self._trusted_set._trusted_delegations.discard((parent_role, role))
                with suppress(FileNotFoundError):
                    (self._state / f"{quote(role, '')}.json").unlink()
                raise RepositoryError(error.what) from None
            self._checked.add(role)
        return targets


def known_naming(state: Path) -> Naming:
    """What is known, before a repository is asked, of what its roles have to say of themselves.

    Args:
        state: The folder of its trusted metadata.

    Raises:
        SecurepipError: The file that keeps it was damaged. It is not passed over: what it says
            protects like the trusted metadata beside it.
    """
    first, promise = state / "root_history" / "1.root.json", state / _PROMISE_NAME
    try:
        root, data = _read_if_there(first), _read_if_there(promise)
        known = Naming(None if root is None else sha256_of(root))
        if data is None:
            return known
        document = json.loads(data)
        repository, named = parse_sha256(document["repository"]), document["named"]
        if named not in (OWN_ROLES, ALL_ROLES):
            raise FormatError(f"not a promise: {named!r:.80}")
        return known.joined(Naming(repository, named))
    except (OSError, ValueError, KeyError, TypeError, FormatError) as error:
        raise SecurepipError(
            f"{promise} cannot be read: {error}",
            meaning="It says what the repository has promised of its signatures. Nothing is "
            "installed without it.",
            remedy="Restore it, or remove and add the repository again with `securepip trust`.",
        ) from None


def _read_if_there(path: Path) -> bytes | None:
    """A file, or None where there is none; one that cannot be read is not taken for none."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None


def _unreadable(path: Path, reason: str) -> SecurepipError:
    return SecurepipError(
        f"{path} cannot be used: {reason}",
        meaning="It says what this machine has seen of the repository, so that nobody can show it "
        "something older. Nothing was installed.",
        remedy=f"Run the same command again. If it stays: {way_out([str(path)])}",
    )
