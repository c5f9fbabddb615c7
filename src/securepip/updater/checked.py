"""python-tuf's ``Updater`` with further checks of each role that it loads.

Rule: ``formats.roles`` checks that a role is the one that it is served as; this class applies the
check to every role that python-tuf loads, from the network or from the state folder. If a
repository's offline keys have promised that roles name themselves, the state folder keeps that
promise, and nothing revokes it.
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
    """A TUF client that allows one delegator per role, and checks that roles are what they say.

    python-tuf keeps one role per name, whichever role delegated to it. An attacker who holds the
    online keys, and the key of one project's role, could delegate from that role to the name of
    another project's role or shard, and put a role of their own in its place.

    Args:
        state: The folder of trusted metadata.
        metadata_url: The URL of the repository's metadata folder.
        fetcher: Fetches the metadata.
        config: Limits.
        root: The pinned root; None to start from the one in ``state``.
        listed: Called with what the snapshot lists, after the snapshot is verified and before
            anything that it lists is asked for.

    Raises:
        SecurepipError: The state folder holds a damaged file.
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
        """What the roles of this repository must say about themselves."""

    @property
    def snapshot(self) -> Mapping[str, MetaFile]:
        """What the verified snapshot lists, by file name."""
        return self._trusted_set.snapshot.meta

    def refresh(self) -> None:
        """As in python-tuf, and keep a new promise. The caller holds the lock of the state folder.

        Raises:
            RepositoryError, DownloadError: As in python-tuf.
            OSError: The state folder cannot be written.
            SecurepipError: The state folder holds a damaged file.
        """
        super().refresh()
        if self._delegators != {"targets": "root"}:
            raise RepositoryError("this version of python-tuf loads roles in another way")
        if self.naming.named is not None and known_naming(self._state) != self.naming:
            document = {"repository": self.naming.repository, "named": self.naming.named}
            replace_file(self._state / _PROMISE_NAME, json.dumps(document).encode())

    def version_of(self, role: str) -> int | None:
        """The version of a targets role that this session verified; None for any other role."""
        loaded = self._trusted_set.get(role) if role in self._checked else None
        return loaded.version if isinstance(loaded, Targets) else None

    def _load_timestamp(self) -> None:
        """As in python-tuf, but ask once more if a timestamp that was fetched early is refused.

        After the early request, another process may have stored a newer timestamp, or a new root
        may have changed its keys.
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
        """As in python-tuf, except that a file that exists and cannot be read is an error.

        python-tuf treats such a file as missing, and would then accept an older state than the
        one that was seen.
        """
        try:
            return super()._load_local_metadata(rolename)
        except FileNotFoundError:
            raise
        except OSError as error:
            path = self._state / f"{quote(rolename, '')}.json"
            raise _unreadable(path, error.strerror or str(error)) from None

    def _load_root(self) -> None:
        """As in python-tuf, except that an unreadable root in the history is an error.

        python-tuf stops at the last root that it can read, and would forget the later ones.
        """
        super()._load_root()
        following = f"{self._trusted_set.root.version + 1}.root.json"
        path = self._state / "root_history" / following
        if _read_if_there(path) is not None:
            raise _unreadable(path, "it does not follow the root before it, or could not be read")

    def _is_of_offline_keys(self, role: str) -> bool:
        """Whether offline keys sign the role. Known only of repositories made by securepip."""
        return self.naming.named is not None and role.partition(".")[0] in _OFFLINE

    def _goes_only_onward(self, role: str) -> bool:
        """Whether a snapshot that lists an older version of the role than was seen is an attack.

        securepip never lowers the version of a role that offline keys sign, not even in a recovery.
        If the state folder holds another snapshot than this session verified, another process has
        written it, and the role there may be newer for that reason.
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
        path = self._state / f"{quote(role, '')}.json"
        known: bytes | None = None
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
                # python-tuf has stored the role, because its signature is valid. Undo that, or no
                # mirror and no later run would be asked for the right one. If a python-tuf stores
                # it in another way, the mirrors' files are refused as well: that is safe. What was
                # known before is stored again: it protects against older files.
                with suppress(AttributeError):
                    self._trusted_set._trusted_delegations.discard((parent_role, role))
                if known is not None and _read_if_there(path) != known:
                    replace_file(path, known)
                else:
                    path.unlink(missing_ok=True)
                raise RepositoryError(error.what) from None
            self._checked.add(role)
        return targets


def known_naming(state: Path) -> Naming:
    """What the roles of a repository must say about themselves, as far as the state folder knows.

    Args:
        state: The folder of the repository's trusted metadata.

    Raises:
        SecurepipError: The file of the promise is damaged. It is not ignored, because it protects
            like the trusted metadata beside it.
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
    """The contents of a file; None if there is no such file.

    Raises:
        OSError: The file exists and cannot be read.
    """
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None


def _unreadable(path: Path, reason: str) -> SecurepipError:
    return SecurepipError(
        f"{path} cannot be used: {reason}",
        meaning="It says what this machine has seen of the repository, so that nobody can show it "
        "something older. Nothing was installed.",
        remedy=f"Run the same command again. If that does not help: {way_out([str(path)])}",
    )
