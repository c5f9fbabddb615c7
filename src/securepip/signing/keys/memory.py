"""What this machine remembers of the repositories whose offline keys sign on it.

Rule: a machine that holds offline keys believes no server about the past. It remembers for which
repository each key has signed, the last root that it signed, every version that it signed, and the
state that was current when an offline key was last used here. Therefore

* no key signs for two repositories: a signature made for one could be shown as one for the other;
* no version of a role is signed twice with different contents, nor after a later version;
* a proposal is compared with what was signed here last, whatever the proposal calls current;
* nothing is signed on top of a state that is older than the last one seen here.

Without this memory, a server that was taken over could show a state from before a claim as the
current one, and have it signed again without that claim. The key holder would see no difference,
and clients that saw the claim would lose it.

The memory is one JSON file in the user data folder. It maps the digest of each repository's first
root to what is remembered of that repository.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from filelock import FileLock, Timeout

from securepip.dirs import data_dir, write_private
from securepip.errors import FormatError, RepositoryStateError
from securepip.formats.digests import Sha256, parse_sha256

_NAME = "signed-at-ceremonies.json"
_FORMAT = 2
_LOCK_SECONDS = 60

Versions = Mapping[str, tuple[int, Sha256]]
"""For each role: a version, and the sha256 of the signed part of its metadata."""


@dataclass(frozen=True)
class Remembered:
    """The memory of one repository.

    Attributes:
        signed: What was signed here at ceremonies: the last version of each role under the role's
            name (``claimed``), and every version under its number and name (``2.claimed``).
        seen: The offline roles that were current when an offline key was last used here.
        keys: The ids of the keys that have signed for the repository here.
        root: The last root that was signed here, as JSON; None if no root was.
    """

    signed: Versions = field(default_factory=dict)
    seen: Versions = field(default_factory=dict)
    keys: tuple[str, ...] = ()
    root: str | None = None

    def with_keys(self, keyids: Iterable[str]) -> Remembered:
        """A copy in which these keys too have signed for the repository."""
        return replace(self, keys=tuple(dict.fromkeys([*self.keys, *keyids])))

    def last(self, role: str) -> tuple[int, Sha256 | None]:
        """The highest version of ``role`` that was signed or seen here, and its digest.

        It is version 0 with no digest if there is none.
        """
        known = (versions[role] for versions in (self.signed, self.seen) if role in versions)
        return max(known, key=lambda each: each[0], default=(0, None))

    def newest(self, role: str) -> int:
        """The highest version of ``role`` that was signed or seen here; 0 if there is none."""
        return self.last(role)[0]

    def known(self, role: str, version: int) -> frozenset[Sha256]:
        """The digests that were signed or seen here as this version of ``role``."""
        known = (self.signed.get(role), self.signed.get(f"{version}.{role}"), self.seen.get(role))
        return frozenset(each[1] for each in known if each is not None and each[0] == version)

    def with_signed(self, role: str, version: int, digest: Sha256) -> Remembered:
        """A copy in which this version of ``role`` too was signed here."""
        signed = {**self.signed, f"{version}.{role}": (version, digest)}
        if version >= self.signed.get(role, (0,))[0]:
            signed[role] = version, digest
        return replace(self, signed=signed)


def recall(root_sha256: Sha256) -> Remembered | None:
    """The memory of the repository with this first root; None if it is unknown.

    Raises:
        RepositoryStateError: The memory cannot be read.
    """
    return _load().get(root_sha256)


def owner(keyid: str) -> Sha256 | None:
    """The digest of the first root of the repository that this key has signed for; None for none.

    Raises:
        RepositoryStateError: The memory cannot be read.
    """
    return next((root for root, each in _load().items() if keyid in each.keys), None)


def check_owner(keyids: Iterable[str], root_sha256: Sha256) -> None:
    """Check that each of these keys signs for this repository alone.

    An attacker could make a repository of his own with the same key holders, and have them sign a
    root there that names his keys. Clients of the real repository would accept it as the next root.

    Raises:
        RepositoryStateError: One of the keys has signed for another repository here; or the memory
            cannot be read.
    """
    for keyid in keyids:
        other = owner(keyid)
        if other not in (None, root_sha256):
            raise RepositoryStateError(
                f"the key {keyid} has signed for another repository on this machine, the one that "
                f"began with the root {other}; this one began with {root_sha256}",
                meaning="What a key signs for one repository could be shown as signed for the "
                "other: somebody may have made this one to get just that.",
                remedy="Do not sign. Ask the operator. A key holder needs a key of its own for "
                "each repository.",
            )


@contextmanager
def remembering(root_sha256: Sha256) -> Iterator[_Update]:
    """Change what is remembered of a repository, while no other process can.

    Yields:
        What is remembered; its ``value`` is written when the block ends without an error.

    Raises:
        RepositoryStateError: The memory cannot be read, or another process holds it.
        SecurepipError: It cannot be written.
    """
    path = _path()
    try:
        with FileLock(path.with_suffix(".lock"), timeout=_LOCK_SECONDS):
            everything = _load()
            update = _Update(everything.get(root_sha256, Remembered()))
            yield update
            everything[root_sha256] = update.value
            repositories = {root: asdict(each) for root, each in everything.items()}
            document = {"format": _FORMAT, "repositories": repositories}
            write_private(path, json.dumps(document, indent=1).encode())
    except Timeout:
        raise RepositoryStateError(
            f"another process is changing {path}", remedy="Try again when it is done."
        ) from None


@dataclass
class _Update:
    """Holds what will be remembered when the block ends."""

    value: Remembered


def _path() -> Path:
    return data_dir() / _NAME


def _load() -> dict[Sha256, Remembered]:
    path = _path()
    try:
        document = json.loads(path.read_bytes())
        if "format" not in document:  # the first format held ``signed`` alone
            return {
                parse_sha256(root): Remembered(signed=_versions(each))
                for root, each in document.items()
            }
        if document["format"] != _FORMAT:
            raise ValueError(f"format {document['format']!r:.20}")
        return {
            parse_sha256(root): Remembered(
                _versions(each["signed"]),
                _versions(each["seen"]),
                tuple(map(str, each["keys"])),
                None if each["root"] is None else str(each["root"]),
            )
            for root, each in document["repositories"].items()
        }
    except FileNotFoundError:
        return {}
    except (OSError, FormatError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise RepositoryStateError(
            f"{path} cannot be read: {error}",
            meaning="It says what was signed on this machine before, and for whom.",
            remedy="Restore it from a backup. Without it, a server that was taken over could have "
            "an older state signed again.",
        ) from None


def _versions(document: Mapping[str, tuple[int, str]]) -> Versions:
    return {
        str(role): (int(version), parse_sha256(digest))
        for role, (version, digest) in document.items()
    }
