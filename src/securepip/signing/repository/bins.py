"""Changes or renews many hash bins, in several threads or processes.

Rule: a bin is verified as ``roles`` does it, by the process that signs it again, and is dropped
from memory right after. Only small values go from one process to another: the name of a bin, its
changes, and the facts about it afterwards.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import groupby, islice
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from cryptography.hazmat.primitives.serialization import load_pem_private_key
from securesystemslib.signer import CryptoSigner, Key, Signer
from tuf.api.exceptions import RepositoryError
from tuf.api.metadata import Metadata, TargetFile, Targets

from securepip.errors import FormatError, RepositoryStateError
from securepip.formats.digests import Sha256, sha256_of
from securepip.formats.layout import METADATA_DIR
from securepip.formats.roles import Naming, check_role, name_role
from securepip.signing.keys.canonical import CANONICAL, sign_anew
from securepip.signing.repository.roles import write_next
from securepip.signing.repository.state.known import RoleFacts, facts_of
from securepip.signing.repository.state.sqlite import private_sqlite
from securepip.signing.repository.storage.interface import Storage

if TYPE_CHECKING:
    from concurrent.futures import Executor, Future

MANY = 64
"""The number of bins from which on they are changed one by one, and not all read into memory."""

WORTH_PROCESSES = 1024
"""The number of bins from which on other processes take part. These take seconds to start."""

_GONE = "-1"
"""The length that marks a target to be removed."""

_FEW_LINES = 1_000
"""The number of changes that are held in memory and then written together."""

_AT_A_TIME = 32
_SENT = 8
"""The number of bins that are sent to another process together, with their changes."""
_THREADS = 2
"""While one thread waits for the disk or for the signature, another one goes on."""


@dataclass(frozen=True)
class Bin:
    """A bin to be signed again.

    Attributes:
        name: Its name.
        version: Its current version; 0 for a new bin.
        sha256: The digest of its current file; None if the snapshot does not give it.
        edits: The changes of its targets, as ``Edits`` yields them.
    """

    name: str
    version: int
    sha256: str | None
    edits: bytes


@dataclass(frozen=True)
class SignedBin:
    """A bin that was signed and written.

    Attributes:
        sha256: The digest of its file.
        length: The length of its file in bytes.
        keyids: The ids of the keys that signed it.
        facts: The facts about it, for ``Known``.
    """

    sha256: Sha256
    length: int
    keyids: tuple[str, ...]
    facts: RoleFacts


class Edits:
    """Changes of targets, by bin. They are kept in a private file, because there may be many."""

    def __init__(self) -> None:
        self._connection = private_sqlite(
            "CREATE TABLE edit (bin TEXT NOT NULL, line TEXT NOT NULL)"
        )
        self._waiting: list[tuple[str, str]] = []

    def put(self, edits: Mapping[str, tuple[str, TargetFile | None]]) -> None:
        """Add changes: for each target path its bin, and its new target or None to remove it."""
        self._waiting += [
            (name, f"{path}\t{_GONE}\t" if target is None else _line(path, target))
            for path, (name, target) in edits.items()
        ]
        if len(self._waiting) >= _FEW_LINES:
            self._write()

    def _write(self) -> None:
        self._connection.executemany("INSERT INTO edit VALUES (?, ?)", self._waiting)
        self._waiting.clear()

    def are_many(self, least: int) -> bool:
        """Whether at least ``least`` bins change. Counting all of them would take long."""
        self._write()
        (count,) = self._connection.execute(
            "SELECT count(*) FROM (SELECT DISTINCT bin FROM edit LIMIT ?)", (least,)
        ).fetchone()
        return int(count) >= least

    def __iter__(self) -> Iterator[tuple[str, bytes]]:
        self._write()
        rows = self._connection.execute("SELECT bin, line FROM edit ORDER BY bin, rowid")
        for name, group in groupby(rows, itemgetter(0)):
            yield name, "\n".join(line for _, line in group).encode()

    def close(self) -> None:
        """Drop the file."""
        self._connection.close()


Changes = Edits | Sequence[tuple[str, bytes]]
"""The names of bins, and the changes in each; no changes if a bin is only renewed."""


def are_worth_processes(bins: Changes) -> bool:
    """Whether enough bins change for other processes to take part."""
    if isinstance(bins, Edits):
        return bins.are_many(WORTH_PROCESSES)
    return len(bins) >= WORTH_PROCESSES


def _line(path: str, target: TargetFile) -> str:
    return f"{path}\t{target.length}\t{target.hashes['sha256']}"


def apply_lines(role: Targets, lines: bytes) -> None:
    """Apply the changes of one bin, as ``Edits`` yields them, to ``role``."""
    targets = role.targets
    for line in lines.decode().splitlines():
        path, length, sha256 = line.split("\t")
        if length == _GONE:
            targets.pop(path, None)
        else:
            targets[path] = TargetFile(int(length), {"sha256": sha256}, path)


@dataclass(frozen=True)
class Hand:
    """Everything that is needed to sign bins. It is sent to other processes.

    Attributes:
        storage: The repository's storage.
        delegator: The serialized role that delegates to the bins.
        naming: The names that the current bins have to carry.
        repository: The digest of the first root, which the new bins are to carry.
        expires: When the new bins expire.
        keys: For other processes: the private key (PEM, in the clear), the id and the public key of
            each signer. Keys on devices cannot be sent.
    """

    storage: Storage
    delegator: bytes
    naming: Naming
    repository: Sha256
    expires: datetime
    keys: Sequence[tuple[bytes, str, Mapping[str, Any]]] = ()


def sign_bins(
    hand: Hand, signers: Sequence[Signer], bins: Iterable[Bin], *, are_many: bool
) -> Iterator[SignedBin]:
    """Sign and write bins, and yield the results in the same order.

    Args:
        hand: What is needed to sign them, without ``keys``.
        signers: The keys.
        bins: The bins. Only a few of them are in memory at a time.
        are_many: Whether other processes take part (``are_worth_processes``).

    Raises:
        RepositoryStateError: A current bin is not what was signed, or a key fails.
    """
    private = [signer for signer in signers if isinstance(signer, CryptoSigner)]
    processes = min(os.cpu_count() or 1, 16)
    at_once = hand.storage.at_once
    worker, coming = _Worker(hand, signers), iter(bins)
    if len(private) < len(signers):
        yield from map(worker.sign, coming)  # a device makes one signature at a time
        return
    # Imported only here: the import takes as long as signing for a small install.
    from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor

    if at_once > 1:
        # Signing takes little time compared with a request to an object store.
        with ThreadPoolExecutor(at_once) as threads:
            yield from _signed(threads, worker.sign_all, coming, at_a_time=1, most=at_once)
        return
    if not are_many or processes < 2:
        with ThreadPoolExecutor(_THREADS) as threads:
            yield from _signed(threads, worker.sign_all, coming)
        return
    keys = [
        (each.private_bytes, each.public_key.keyid, each.public_key.to_dict()) for each in private
    ]
    import multiprocessing

    hand = replace(hand, keys=keys)
    # Spawned and not forked: this process may have threads.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, context, _begin, (hand,)) as pool:
        for each in _signed(pool, _sign_group, coming, at_a_time=_SENT, most=3 * processes):
            # Files of other processes too must be on disk before they become current.
            hand.storage.note(_path(each.facts.name, each.facts.version))
            yield each


def _signed(
    pool: Executor,
    sign: Callable[[list[Bin]], list[SignedBin]],
    coming: Iterator[Bin],
    *,
    at_a_time: int = _AT_A_TIME,
    most: int = 3,
) -> Iterator[SignedBin]:
    """Call ``sign`` for groups of ``at_a_time`` bins, ``most`` groups ahead; results in order."""
    under_way: deque[Future[list[SignedBin]]] = deque()
    while group := list(islice(coming, at_a_time)):
        under_way.append(pool.submit(sign, group))
        if len(under_way) > most:
            yield from under_way.popleft().result()
    while under_way:
        yield from under_way.popleft().result()


class _Worker:
    def __init__(self, hand: Hand, signers: Sequence[Signer]) -> None:
        self._hand = hand
        self._signers = signers
        self._delegator = Metadata[Targets].from_bytes(hand.delegator).signed

    def sign_all(self, bins: Iterable[Bin]) -> list[SignedBin]:
        return list(map(self.sign, bins))

    def sign(self, each: Bin) -> SignedBin:
        hand = self._hand
        metadata = self._read(each) if each.version else Metadata(Targets())
        role = metadata.signed
        apply_lines(role, each.edits)
        role.version = each.version
        name_role(role, each.name, hand.repository)
        role.expires = hand.expires
        data = write_next(
            hand.storage, each.name, role, lambda: sign_anew(metadata, self._signers, each.name)
        )
        return SignedBin(
            sha256_of(data), len(data), tuple(metadata.signatures), facts_of(each.name, role)
        )

    def _read(self, each: Bin) -> Metadata[Targets]:
        path = _path(each.name, each.version)
        try:
            data = self._hand.storage.read(path)
            metadata = Metadata[Targets].from_bytes(data)
            self._delegator.verify_delegate(
                each.name, CANONICAL.serialize(metadata.signed), metadata.signatures
            )
            check_role(each.name, metadata.signed, self._delegator, self._hand.naming)
        except FileNotFoundError as error:
            raise self._odd(f"{path} cannot be read: {error.strerror}") from None
        except FormatError as error:
            raise self._odd(error.what) from None
        except (RepositoryError, ValueError) as error:
            raise self._odd(f"{path} is not signed as it has to be: {error}") from None
        if metadata.signed.version != each.version or each.sha256 not in (None, sha256_of(data)):
            raise self._odd(f"{path} is not the one that was made current")
        return metadata

    def _odd(self, what: str) -> RepositoryStateError:
        return RepositoryStateError(
            f"{self._hand.storage.address}: {what}",
            meaning="Something other than securepip changed or lost files of the repository.",
            remedy="Find out by whom, and restore the folder from a backup. Nothing was signed.",
        )


_here: list[_Worker] = []
"""In a process that does nothing but sign bins: its worker."""


def _begin(hand: Hand) -> None:
    signers = []
    for private, keyid, public in hand.keys:
        key: Any = Key.from_dict(keyid, dict(public))
        loaded: Any = load_pem_private_key(private, None)
        signers.append(CryptoSigner(loaded, key))
    _here.append(_Worker(hand, signers))


def _sign_group(bins: Iterable[Bin]) -> list[SignedBin]:
    return _here[0].sign_all(bins)


def _path(name: str, version: int) -> str:
    return f"{METADATA_DIR}/{version}.{name}.json"
