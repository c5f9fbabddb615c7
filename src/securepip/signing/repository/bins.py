"""Hash bins changed or renewed in place, many at a time, in processes beside each other.

Rule: a bin is verified before it is signed again, in the process that signs it, as ``roles`` does
it; and none is held longer than it takes. What travels between processes is small: a bin's name,
what changes in it, and what there is to know of it then.
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
"""From so many bins on, they are not read into this process but changed in place."""

WORTH_PROCESSES = 1024
"""From so many bins on, other processes take part: they need some seconds to start."""

_GONE = "-1"
"""Stands for the length of a target that is taken away."""

_FEW_LINES = 1_000
"""So many changes are held in memory, and written together."""

_AT_A_TIME = 32
_SENT = 8
"""So many are sent to another process together, with all that changes in them."""
_THREADS = 2
"""While one waits for the disk, or for the key's library, another one goes on."""


@dataclass(frozen=True)
class Bin:
    """A bin to be signed anew.

    Attributes:
        name: Its name.
        version: Its current version; 0 for a bin that is new.
        sha256: Of its current file, where the snapshot says it.
        edits: What changes in it (``Edits``).
    """

    name: str
    version: int
    sha256: str | None
    edits: bytes


@dataclass(frozen=True)
class SignedBin:
    """A bin that was signed and written.

    Attributes:
        sha256: Of its file.
        length: Its bytes.
        keyids: Of the keys that signed.
        facts: What there is to know of it.
    """

    sha256: Sha256
    length: int
    keyids: tuple[str, ...]
    facts: RoleFacts


class Edits:
    """Changes of targets, by bin. They are kept in a file that nobody else sees, however many."""

    def __init__(self) -> None:
        self._connection = private_sqlite(
            "CREATE TABLE edit (bin TEXT NOT NULL, line TEXT NOT NULL)"
        )
        self._waiting: list[tuple[str, str]] = []

    def put(self, edits: Mapping[str, tuple[str, TargetFile | None]]) -> None:
        """Let these paths be those targets, each in the bin named; None takes one away."""
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
        """Whether at least so many bins change. To count all of them takes its time."""
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
"""The names of bins, and what changes in each; nothing where it is renewed."""


def are_worth_processes(bins: Changes) -> bool:
    """Whether so many bins change that other processes take part."""
    if isinstance(bins, Edits):
        return bins.are_many(WORTH_PROCESSES)
    return len(bins) >= WORTH_PROCESSES


def _line(path: str, target: TargetFile) -> str:
    return f"{path}\t{target.length}\t{target.hashes['sha256']}"


def apply_lines(role: Targets, lines: bytes) -> None:
    """Make the changes of one bin (``Edits``) in it."""
    targets = role.targets
    for line in lines.decode().splitlines():
        path, length, sha256 = line.split("\t")
        if length == _GONE:
            targets.pop(path, None)
        else:
            targets[path] = TargetFile(int(length), {"sha256": sha256}, path)


@dataclass(frozen=True)
class Hand:
    """What signing bins takes. Sent to other processes, so no key of a device can be in it.

    Attributes:
        storage: Where they are.
        delegator: The role that delegates to them, as its bytes.
        naming: What they have to say of themselves.
        repository: What they are to say.
        expires: Of the new signatures.
        keys: The private keys (PEM, in the clear) and public ones.
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
    """Sign and write ``bins``, and say of each what became of it, in their order.

    Args:
        hand: What it takes.
        signers: The keys.
        bins: They. Few of them are in memory at a time.
        are_many: Whether they are worth other processes (``WORTH_PROCESSES``).

    Raises:
        RepositoryStateError: One of them is not what was signed, or a key fails.
    """
    private = [signer for signer in signers if isinstance(signer, CryptoSigner)]
    processes = min(os.cpu_count() or 1, 16)
    at_once = hand.storage.at_once
    worker, coming = _Worker(hand, signers), iter(bins)
    if len(private) < len(signers):
        yield from map(worker.sign, coming)  # a device does one thing at a time
        return
    # Nobody else pays for these: they take as long to import as a small install signs.
    from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor

    if at_once > 1:
        # Signing is short beside the way to an object store and back.
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
            # What another process has written has to be on the disk too before it is current.
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
    """The results of ``sign`` in order, of so many bins at a time, and so many such groups."""
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
"""The worker of this process, which does nothing else."""


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
