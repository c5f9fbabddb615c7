"""Reads the current state of a repository, and signs the next one.

Rule: a state that is older than the last one signed here is never used, and nothing is signed on
top of it: that would undo revocations, and use version numbers a second time. Nothing is signed on
top of a state that the log does not know either: a thief of the online key may have made it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from itertools import chain

from tuf.api.metadata import Metadata, Root, Targets

from securepip.errors import RepositoryStateError
from securepip.formats.digests import Sha256
from securepip.formats.layout import BINS_ROLE, METADATA_DIR
from securepip.signing.repository.bins import Changes
from securepip.signing.repository.claim_tree import TOPS
from securepip.signing.repository.commit import BinWork, Committer
from securepip.signing.repository.roles import FRAME, TIMESTAMP_NAME, Roles
from securepip.signing.repository.state.known import Known, RoleFacts, facts_aside, facts_of
from securepip.signing.repository.state.ledger import Ledger
from securepip.signing.repository.storage.interface import Storage


class Current:
    """The current state of one repository. The lock must be held to sign.

    Args:
        storage: The repository's storage.
        root_sha256: The digest of its first root.
        ledger: Remembers which state was signed last.
        committer: Signs roles.
    """

    def __init__(
        self, storage: Storage, root_sha256: Sha256, ledger: Ledger, committer: Committer
    ) -> None:
        self._storage = storage
        self._metadata = storage.below(METADATA_DIR)
        self._root_sha256 = root_sha256
        self._ledger = ledger
        self._committer = committer
        self._roles: tuple[bytes, Roles] | None = None
        self._root: Metadata[Root] | None = None
        self._held = self._is_read = self._is_followed = False

    @property
    def at_once(self) -> int:
        """As ``Storage.at_once``."""
        return self._storage.at_once

    @contextmanager
    def held(self) -> Iterator[None]:
        """Read the timestamp at most once in the block: no other process changes the state.

        A sync needs the state several times for each of a million projects. If somebody replaces
        the timestamp in spite of the lock, writing the next one fails.
        """
        self._held, self._is_read = True, False
        try:
            yield
        finally:
            self._held = self._is_read = False

    def roles(self) -> Roles:
        """The current signed roles, verified. They are read again if the timestamp has changed.

        Raises:
            RepositoryStateError: What is on disk is not what was signed, or it is older than the
                last state that was signed here.
        """
        if self._is_read and self._roles is not None:
            return self._roles[1]
        # The ledger is read before the file: another process may sign between the two steps.
        known = self._ledger.current()
        try:
            timestamp = self._metadata.read(TIMESTAMP_NAME)
        except FileNotFoundError as error:
            raise RepositoryStateError(
                f"{self._storage.address} has no {TIMESTAMP_NAME}: {error.strerror}"
            ) from None
        if (
            self._roles is None
            or self._roles[0] != timestamp
            or self._has_newer(self._roles[1].root)
        ):
            roles = Roles(self._metadata, self._root_sha256, timestamp, self._root)
            self._check_current(roles, known)
            self._roles, self._root = (timestamp, roles), roles.root
        self._is_read, self._is_followed = self._held, False
        return self._roles[1]

    def _has_newer(self, root: Metadata[Root]) -> bool:
        return self._metadata.exists(f"{root.signed.version + 1}.root.json")

    def known(self) -> Known:
        """The look-up tables of the current state, brought up to date if necessary.

        Raises:
            RepositoryStateError: What is on disk is not what was signed.
        """
        roles, known = self.roles(), self._ledger.lookup
        if self._is_followed:
            return known
        if known.snapshot() != snapshot_digest(roles):
            known.follow(snapshot_digest(roles), counted_versions(roles), _reader(roles))
        self._is_followed = self._is_read
        return known

    def rebuild_known(self) -> list[str]:
        """Read all current roles, and correct the look-up tables. The lock must be held.

        Returns:
            The roles for which the tables were wrong.

        Raises:
            RepositoryStateError: What is on disk is not what was signed.
        """
        # Roles that are in memory may differ from those on disk, so all are read again.
        self._roles = self._root = None
        roles = self.roles()
        return self._ledger.lookup.rebuild(
            snapshot_digest(roles), counted_versions(roles), _reader(roles)
        )

    def sign(
        self,
        changed: Mapping[str, Metadata[Targets]],
        finished: Mapping[str, Metadata[Targets]] | None = None,
        base: Roles | None = None,
        bins: Changes = (),
    ) -> tuple[str, ...]:
        """Sign roles, then the snapshot and the timestamp. The lock must be held.

        Args:
            changed: The roles to sign, by name.
            finished: Roles that were signed elsewhere and checked. They become current as they are.
            base: The roles that the new state follows; None for the current ones.
            bins: Bins to change, and the changes in each.

        Returns:
            The names of the roles that were signed.

        Raises:
            RepositoryStateError: A key is not here, or the log does not know the current state. The
                earlier state is still current.
        """
        roles = base or self._made_here()
        replaces, before = self._replaced(base), snapshot_digest(roles)
        after: tuple[bytes, Roles] | None = None
        try:
            with closing(facts_aside()) as in_place:
                committed = self._committer.commit(
                    roles.root.signed,
                    roles.timestamp,
                    roles.snapshot,
                    changed,
                    lambda name: roles.delegator(name, {**(finished or {}), **changed}),
                    roles.repository,
                    finished,
                    replaces=replaces,
                    bins=BinWork(roles.role(BINS_ROLE), roles.naming, bins, in_place),
                )
                self._remember(roles)
                self._follow(before, roles, {**(finished or {}), **changed}, in_place)
            if base is None and not finished and not _are_of_frame(changed):
                after = committed.timestamp, roles.frame()
        finally:
            # Signing has changed the role objects. After an error they are read again from disk;
            # else they are the current ones, as long as the timestamp is the one just written.
            self._roles, self._is_read, self._is_followed = after, False, False
        return committed.names

    def renew_timestamp(self) -> tuple[str, ...]:
        """Sign a new timestamp for the same state.

        Returns:
            The names of the roles that were signed.

        Raises:
            RepositoryStateError: Its key is not here, or the log does not know the current state.
        """
        roles = self._made_here()
        try:
            self._committer.renew_timestamp(
                roles.root.signed, roles.timestamp, replaces=self._replaced(None)
            )
            self._remember(roles)
        finally:
            self._roles = None
        return ("timestamp",)

    def sign_root(self) -> None:
        """Sign the next version of root with the keys of the current one.

        Raises:
            RepositoryStateError: Fewer root keys than its threshold are here.
        """
        roles = self._made_here()
        try:
            roles.root.signed.version += 1
            self._committer.sign_root(roles.root, roles.root.signed, roles.timestamp.signed)
            self._remember(roles)
        finally:
            self._roles = self._root = None

    def write_root(self, root: Metadata[Root], base: Roles | None = None) -> None:
        """Make a signed and checked root the current one.

        Args:
            root: The root.
            base: The roles of the state that it is written for; None for the current ones.

        Raises:
            RepositoryStateError: The log is not what was written.
        """
        timestamp = (base or self._made_here()).timestamp.signed
        self._committer.write_root(root, timestamp)
        self._roles = self._root = None
        self._ledger.set_current(root.signed.version, timestamp.version)

    def _follow(
        self,
        before: str,
        roles: Roles,
        signed: Mapping[str, Metadata[Targets]],
        in_place: Iterable[RoleFacts],
    ) -> None:
        """Bring the look-up tables up to date, if no other role has to be read for that."""
        known = self._ledger.lookup
        if known.snapshot() != before:
            return
        if _are_of_frame(signed):
            return  # other roles may count now: `known` finds out when it is called next
        facts = [facts_of(name, metadata.signed) for name, metadata in signed.items()]
        known.apply(snapshot_digest(roles), chain(facts, in_place))

    def _replaced(self, base: Roles | None) -> bytes | None:
        """The bytes of the timestamp that the next one replaces; None if there is none."""
        if base is None and self._roles is not None:
            return self._roles[0]
        try:
            return self._metadata.read(TIMESTAMP_NAME)
        except FileNotFoundError:
            return None

    def _made_here(self) -> Roles:
        """The current roles, to sign on top of.

        Raises:
            RepositoryStateError: The log does not know them. Signing would cover a thief's traces.
        """
        roles = self.roles()
        self._committer.log.check_made(roles.timestamp.signed)
        return roles

    def _remember(self, roles: Roles) -> None:
        """Remember these versions, so that no older state is ever used again."""
        self._ledger.set_current(roles.root.signed.version, roles.timestamp.signed.version)

    def _check_current(self, roles: Roles, known: tuple[int, int]) -> None:
        """Check that nobody has put back an older state, which was validly signed in its time.

        Signing on top of it would undo revocations, and use version numbers a second time.
        """
        versions = roles.root.signed.version, roles.timestamp.signed.version
        for name, version, newest in zip(("root", "timestamp"), versions, known, strict=True):
            if version < newest:
                raise RepositoryStateError(
                    f"{self._storage.address}: the {name} is of version {version}, but version "
                    f"{newest} was signed here",
                    meaning="Somebody put back an older state of the folders that are served, or "
                    "a backup of them was restored. Clients that saw the newer one refuse it.",
                    remedy="Put the newest state back. If it is lost, or somebody had a hand in "
                    "it, `securepip repo recover` makes a new one that clients accept.",
                )


def _are_of_frame(names: Iterable[str]) -> bool:
    """Whether one of these roles decides which other roles are in use."""
    return any(name in FRAME or name.startswith(TOPS) for name in names)


def snapshot_digest(roles: Roles) -> str:
    """The digest of the snapshot, which identifies the state; "" if the timestamp has none."""
    return (roles.timestamp.signed.snapshot_meta.hashes or {}).get("sha256", "")


def counted_versions(roles: Roles) -> dict[str, int]:
    """The versions of the roles that sign pages and distributions, by name."""
    claims = (claim.role for top in TOPS for claim in roles.claims_below(top).claims())
    return {name: roles.meta(name).version for name in (*roles.bin_names(), *claims)}


def _reader(roles: Roles) -> Callable[[str], RoleFacts]:
    return lambda name: facts_of(name, roles.read_once(name).signed)
