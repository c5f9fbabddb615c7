"""Makes a new repository: its keys, its root, and every role of the frame, empty and signed.

Rule: keys are never written into the repository, and the settings file is written last. A run that
is killed before that leaves no repository, and the next run begins again.
"""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass
from pathlib import Path

from securesystemslib.signer import Key
from tuf.api.metadata import (
    DelegatedRole,
    Delegations,
    Metadata,
    MetaFile,
    Root,
    Snapshot,
    Targets,
    Timestamp,
)

from securepip.errors import RepositoryStateError
from securepip.formats.digests import Sha256, sha256_of
from securepip.formats.layout import (
    ALL_ROLES,
    BINS_ROLE,
    CLAIMED_ROLE,
    METADATA_DIR,
    NAMED_FIELD,
    PACKAGES_DIR,
    RECENTLY_CLAIMED_ROLE,
    SIMPLE_DIR,
)
from securepip.signing.keys import ring as keys
from securepip.signing.publish.bins import bin_count, succinct_roles
from securepip.signing.repository.commit import Committer, Delegator
from securepip.signing.repository.config import DEFAULT_EXPECTED_FILES, Config, Expiry
from securepip.signing.repository.repository import Repository
from securepip.signing.repository.site import FolderSite, Site
from securepip.signing.repository.state.log import Reason

ROOT_KEYS = 3
ROOT_THRESHOLD = 2
# Every target path has three parts; a `*` does not match a slash (TUF specification 4.5).
_ALL_TARGETS = [f"{SIMPLE_DIR}/*/*", f"{PACKAGES_DIR}/*/*"]


@dataclass(frozen=True)
class Created:
    """A new repository.

    Attributes:
        repository: The repository, ready to publish.
        root: The address of its first root, which clients are given.
        root_sha256: The digest of that root, which clients pin.
        online_keys: The folder of the key for daily work.
        offline_keys: The folder of the offline keys, which the operator should move elsewhere.
        bins: The number of hash bins.
    """

    repository: Repository
    root: str
    root_sha256: Sha256
    online_keys: Path
    offline_keys: Path
    bins: int


def create(
    where: Path | Site,
    *,
    expected_files: int = DEFAULT_EXPECTED_FILES,
    expiry: Expiry | None = None,
    online_keys: Path | None = None,
    offline_keys: Path | None = None,
    offline_keys_stay: bool = False,
    passphrase: bytes | None = None,
    online_key_uri: str | None = None,
    pin: keys.Passphrase | None = None,
    reason: Reason | None = None,
) -> Created:
    """Make a repository in an empty place.

    Args:
        where: A folder, or another place.
        expected_files: The expected number of targets; it decides the number of bins.
        expiry: How long signatures are valid; None for the defaults.
        online_keys: The folder for the online key; by default one in the user's data folder.
        offline_keys: The folder for the offline keys; by default one beside it.
        offline_keys_stay: Whether the offline keys stay there, and sign without being named.
        passphrase: Encrypts all keys; None leaves them in the clear.
        online_key_uri: An online key that exists already, for example on a device; None to
            generate one.
        pin: Asked for the PIN of the device.
        reason: The reason for the log; None for the command alone.

    Raises:
        UsageError: ``online_key_uri`` is not the URI of a key.
        RepositoryStateError: The place is not empty or cannot be written, or a key cannot be
            reached or would be in the repository.
    """
    site = FolderSite(where) if isinstance(where, Path) else where
    expiry = expiry or Expiry()
    reason = reason or Reason("repo init")
    repository_id = _new_id(site.name)
    online_keys = online_keys or keys.default_folder(repository_id, keys.ONLINE)
    offline_keys = offline_keys or keys.default_folder(repository_id, keys.OFFLINE)
    if online_keys.absolute() == offline_keys.absolute():
        raise RepositoryStateError("online and offline keys need a folder each")
    for key_folder in (online_keys, offline_keys):
        if site.serves(key_folder):
            raise RepositoryStateError(
                f"keys may not be kept in the repository itself: {key_folder}"
            )
    secret = passphrase or b""
    ring = keys.KeyRing((), {}, lambda: secret, pin=pin)
    # The device is asked first: if it cannot be reached, nothing has been made.
    named = ring.public_key(online_key_uri) if online_key_uri else None
    online: Key
    state = site.make()
    state.log.reason = reason
    names = [f"root-{number + 1}" for number in range(ROOT_KEYS)]
    offline = keys.generate(offline_keys, [*names, "targets", BINS_ROLE, CLAIMED_ROLE], passphrase)
    signers = keys.file_uris(offline_keys, offline)
    if named is None:
        (made,) = keys.generate(online_keys, [keys.ONLINE], passphrase)
        signers |= keys.file_uris(online_keys, [made])
        online = made.public_key
    else:
        uri, online = named
        signers[online.keyid] = uri
    ring.remember(signers)
    frame = _Frame([signer.public_key for signer in offline], online)
    committer = Committer(site.storage, expiry, ring, state.log)

    root = Metadata(frame.root)
    root_sha256 = sha256_of(committer.sign_root(root, root.signed, None))
    bins = bin_count(expected_files)
    roles = frame.roles(bins)
    delegators: dict[str, Delegator] = {
        "targets": root.signed,
        BINS_ROLE: roles["targets"].signed,
        CLAIMED_ROLE: roles["targets"].signed,
        RECENTLY_CLAIMED_ROLE: roles["targets"].signed,
    }
    timestamp = Metadata(Timestamp(snapshot_meta=MetaFile(1)))
    snapshot = Metadata(Snapshot(meta={}))
    # The first commit raises both to 1.
    timestamp.signed.version = snapshot.signed.version = 0
    committer.commit(
        root.signed,
        timestamp,
        snapshot,
        roles,
        lambda name: delegators.get(name, roles[BINS_ROLE].signed),
        root_sha256,
        replaces=None,
    )
    config = Config(repository_id, root_sha256, expiry, signers, offline_keys_stay)
    state.keep_settings(config)
    state.close()
    repository = Repository.open(site, passphrase=lambda: secret, pin=pin, reason=reason)
    repository.publish({})
    return Created(
        repository,
        f"{site.storage.address}/{METADATA_DIR}/1.root.json",
        root_sha256,
        online_keys,
        offline_keys,
        bins,
    )


class _Frame:
    """The roles of a new repository, and the key of each."""

    def __init__(self, offline: list[Key], online: Key) -> None:
        *self._root, self._targets, self._bins, self._claimed = offline
        self._online = online

    @property
    def root(self) -> Root:
        root = Root(consistent_snapshot=True)
        for key in self._root:
            root.add_key(key, "root")
        root.roles["root"].threshold = ROOT_THRESHOLD
        root.add_key(self._targets, "targets")
        root.add_key(self._online, "snapshot")
        root.add_key(self._online, "timestamp")
        return root

    def roles(self, bins: int) -> dict[str, Metadata[Targets]]:
        """All roles below root. A delegating role comes after the roles that it delegates to."""
        succinct = succinct_roles(bins, self._online.keyid)
        # These delegations do not terminate: clients look for an unclaimed project in all of them,
        # down to the bins. Only the delegation to a project's own role terminates.
        by_key = {
            CLAIMED_ROLE: self._claimed,
            RECENTLY_CLAIMED_ROLE: self._online,
            BINS_ROLE: self._bins,
        }
        delegations = Delegations(
            keys={key.keyid: key for key in by_key.values()},
            roles={
                name: DelegatedRole(name, [key.keyid], 1, terminating=False, paths=_ALL_TARGETS)
                for name, key in by_key.items()
            },
        )
        to_bins = Delegations(keys={self._online.keyid: self._online}, succinct_roles=succinct)
        return {
            **{name: Metadata(Targets()) for name in succinct.get_roles()},
            BINS_ROLE: Metadata(Targets(delegations=to_bins)),
            RECENTLY_CLAIMED_ROLE: Metadata(Targets()),
            CLAIMED_ROLE: Metadata(Targets()),
            "targets": Metadata(
                Targets(delegations=delegations, unrecognized_fields={NAMED_FIELD: ALL_ROLES})
            ),
        }


def _new_id(name: str) -> str:
    readable = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
    return f"{readable or 'repository'}-{secrets.token_hex(4)}"
