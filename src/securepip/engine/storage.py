"""An object store as the storage of a repository: S3-compatible stores, Google Cloud, Azure.

Rule: the store itself stops a second publisher. The timestamp is replaced only if it is still the
one that was read, and a versioned name in ``metadata`` is written only once. A second publisher
fails before anything of his becomes current. Objects are believed only as far as they are signed,
and are read up to limits, because others may be able to write to the bucket.

Credentials, region and endpoint are obstore's own settings: ``AWS_…``, ``GOOGLE_…``, ``AZURE_…``.
"""

from __future__ import annotations

import hashlib
import io
import re
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from dataclasses import replace
from errno import ENOENT
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import obstore
from obstore.exceptions import BaseError

from securepip.engine.failures import explained, is_absent, is_overtaken
from securepip.errors import RepositoryStateError
from securepip.formats.digests import Sha256, sha256_of
from securepip.formats.layout import METADATA_DIR, METADATA_SUFFIX, PACKAGES_DIR, SIMPLE_DIR
from securepip.formats.page import JSON_TYPE
from securepip.signing.repository.roles import TIMESTAMP_NAME
from securepip.signing.repository.storage.files import save
from securepip.signing.repository.storage.interface import (
    Opened,
    OvertakenError,
    StorageError,
    Stored,
)
from securepip.signing.repository.storage.parts import Parts

if TYPE_CHECKING:
    from obstore import PutMode
    from obstore.store import ObjectStore

MAX_READ = 256 << 20
"""The longest object that is read into memory: far more than any metadata or page has."""
PART = 8 << 20
"""Longer objects are read and written in parts of this many bytes, each in its own request."""

_AT_ONCE = 32
_PENDING_BYTES = 256 << 20
_KNOWN, _ALL_KNOWN = 1 << 20, 32 << 20
"""The longest metadata or page that is cached, and the most bytes in that cache."""
_DELETED = 1_000
_TIMESTAMP = f"{METADATA_DIR}/{TIMESTAMP_NAME}"
_DIGEST = re.compile(rf"(?:{SIMPLE_DIR}|{PACKAGES_DIR})/[^/]+/[0-9a-f]{{64}}\.[^/]+")
_ONCE = re.compile(rf"{METADATA_DIR}/[1-9][0-9]*\.[^/]+\.json")
_PAGE = re.compile(rf"{SIMPLE_DIR}/[^/]+/([0-9a-f]{{64}})\.[^/]+")
_FOR_EVER = re.compile(rf"(?:{_ONCE.pattern}|[^/]+/[^/]+/[0-9a-f]{{64}}\.[^/]+|{PACKAGES_DIR}/.+)")


class ObjectReader:
    """Reads an object store. Implements ``Reader``.

    Args:
        store: The store; its names are relative to the repository.
        address: The address of the repository, for people.
    """

    def __init__(self, store: ObjectStore, address: str) -> None:
        self._store = store
        self._address = address

    @property
    def address(self) -> str:
        """As ``Reader.address``."""
        return self._address

    def read(self, name: str) -> bytes:
        """As ``Reader.read``."""
        opened = self.open(name)
        if opened.size > MAX_READ:
            raise StorageError(
                f"{self.address}/{name}",
                f"it has {opened.size} bytes, which is more than anything that is read whole",
                "Somebody else may write to this bucket.",
                "Find out who, and restore the object from a backup.",
            )
        return opened.stream.read()

    def exists(self, name: str) -> bool:
        """As ``Reader.exists``."""
        try:
            with self._asking(name):
                obstore.head(self._store, name)
        except FileNotFoundError:
            return False
        return True

    def list(self, folder: str = "") -> Iterator[Stored]:
        """As ``Reader.list``."""
        with self._asking(folder):
            for chunk in obstore.list(self._store, folder or None):
                for each in chunk:
                    yield Stored(each["path"], each["size"], each["last_modified"].timestamp())

    def here(self, name: str) -> Path | None:
        """As ``Reader.here``: an object is on no machine."""

    def open(self, name: str) -> Opened:
        """As ``Reader.open``."""
        with self._asking(name):
            answer = obstore.get(self._store, name)
            size = answer.meta["size"]
            tag = answer.meta["e_tag"] or f"{answer.meta['last_modified']}-{size}"
            mark = hashlib.sha256(tag.encode()).hexdigest()[:32]
            if size <= PART:
                return Opened(io.BytesIO(answer.bytes()), size, mark)
        return Opened(io.BufferedReader(Parts(size, partial(self.part, name)), PART), size, mark)

    def part(self, name: str, start: int, length: int) -> bytes:
        """At most ``length`` bytes of an object from ``start`` on, and at most ``PART``."""
        length = min(length, PART)
        with self._asking(name):
            return bytes(obstore.get_range(self._store, name, start=start, length=length))

    def fetch(self, name: str, path: Path, sha256: Sha256 | None = None) -> None:
        """As ``Reader.fetch``."""
        with self.open(name).stream as stream:
            chunks = iter(partial(stream.read, PART), b"")
            save(chunks, path, sha256, f"{self.address}/{name}")

    def holds(self, name: str, sha256: Sha256) -> bool:
        """As ``Storage.holds``."""
        digest = hashlib.sha256()
        try:
            with self.open(name).stream as stream:
                while chunk := stream.read(PART):
                    digest.update(chunk)
        except FileNotFoundError:
            return False
        return digest.hexdigest() == sha256

    @contextmanager
    def _asking(self, name: str) -> Iterator[None]:
        """Turn errors of a request for the object ``name`` into those of ``Reader``."""
        try:
            yield
        except (BaseError, FileNotFoundError, ValueError) as error:
            if is_overtaken(error):
                raise OvertakenError(self.address, name) from None
            if is_absent(error):
                raise FileNotFoundError(ENOENT, "there is no such object", name) from None
            raise explained(error, f"{self.address}/{name}".rstrip("/")) from None


class ObjectStorage(ObjectReader):
    """Reads and writes an object store. Implements ``Storage``.

    It writes in the background; ``settle`` waits for that.

    Args:
        store: As for ``ObjectReader``.
        address: As for ``ObjectReader``.

    Attributes:
        at_once: As ``Storage.at_once``.
    """

    at_once = _AT_ONCE

    def __init__(self, store: ObjectStore, address: str) -> None:
        super().__init__(store, address)
        self._pool = ThreadPoolExecutor(_AT_ONCE, "storage")
        self._pending: dict[str, tuple[bool, Future[None]]] = {}
        self._bytes = 0
        self._known: dict[str, bytes] = {}  # a cache of objects that never change
        self._tagged: tuple[str, bytes, str | None] = "", b"", None  # name, bytes and e-tag
        self._known_bytes = 0
        self._changing = threading.Lock()

    def below(self, folder: str) -> Part:
        """As ``Storage.below``."""
        return Part(self, folder)

    def read(self, name: str) -> bytes:
        """As ``Reader.read``."""
        self._settle(name)
        known = self._known.get(name)
        if known is None:
            known = self._read_tagged(name) if name == _TIMESTAMP else super().read(name)
            self._keep(name, known)
        return known

    def _read_tagged(self, name: str) -> bytes:
        """Read an object and remember its e-tag, so that ``replace`` can compare it."""
        with self._asking(name):
            answer = obstore.get(self._store, name)
            if answer.meta["size"] > min(PART, MAX_READ):
                return super().read(name)
            data = answer.bytes().to_bytes()
            self._tagged = name, data, answer.meta["e_tag"]
        return data

    def _keep(self, name: str, data: bytes) -> None:
        """Cache an object, if its name never has other bytes."""
        if len(data) > _KNOWN or not _is_final(name, data):
            return
        with self._changing:
            if self._known_bytes + len(data) > _ALL_KNOWN:
                self._known.clear()
                self._known_bytes = 0
            self._known[name] = data
            self._known_bytes += len(data)

    def exists(self, name: str) -> bool:
        """As ``Reader.exists``."""
        self._settle(name)
        return super().exists(name)

    def list(self, folder: str = "") -> Iterator[Stored]:
        """As ``Reader.list``."""
        self.settle()
        return super().list(folder)

    def open(self, name: str) -> Opened:
        """As ``Reader.open``."""
        self._settle(name)
        return super().open(name)

    def create(self, name: str, data: bytes) -> bool:
        """As ``Storage.create``, in one request."""
        self._settle(name)
        try:
            self._put_once(name, data)
        except OvertakenError:
            return False
        return True

    def ensure(self, name: str, data: bytes) -> None:
        """As ``Storage.ensure``. Writing costs no more than asking whether the object exists."""
        if _DIGEST.fullmatch(name):
            self._begin(name, partial(self._put_named, name, data), len(data))
        else:
            self.write(name, data)

    def write(self, name: str, data: bytes, *, durable: bool = False) -> None:
        """As ``Storage.write``."""
        put = self._put_once if _ONCE.fullmatch(name) else self._put
        self._begin(name, partial(put, name, data), len(data))
        if durable:
            self._settle(name)

    def replace(self, name: str, data: bytes, before: bytes | None) -> None:
        """As ``Storage.replace``. The store itself compares, at the moment of the write."""
        self.settle()
        mode: PutMode = "create"
        if before is not None:
            if self._tagged[:2] != (name, before):
                try:
                    self._read_tagged(name)
                except FileNotFoundError:
                    raise OvertakenError(self.address, name) from None
            if self._tagged[:2] != (name, before):
                raise OvertakenError(self.address, name)
            tag = self._tagged[2]
            if tag is None:
                raise StorageError(
                    f"{self.address}/{name}",
                    "the store gives its objects no e-tag",
                    "It cannot keep two publishers apart.",
                    "Use a store with conditional writes.",
                )
            mode = {"e_tag": tag}
        self._put_once(name, data, mode)

    def prepare(self, key: str, data: bytes) -> None:
        """As ``Storage.prepare``: it would not make ``take`` faster, so nothing is kept."""

    def take(self, key: str, name: str) -> bool:
        """As ``Storage.take``."""
        return False

    def copy(self, source: Path, name: str, sha256: Sha256) -> None:
        """As ``Storage.copy``."""
        size = source.stat().st_size
        if size > PART:
            if _DIGEST.fullmatch(name) and self.holds(name, sha256):
                return
            # A long file is sent in parts, and the object exists when the last part has arrived.
            with source.open("rb") as stream:
                self._put(name, _verified(stream, sha256, source))
            return
        data = source.read_bytes()
        if sha256_of(data) != sha256:
            raise RepositoryStateError(f"{source} changed while it was read: sha256 {sha256}")
        put = self._put_named if _DIGEST.fullmatch(name) else self._put
        self._begin(name, partial(put, name, data), len(data))

    def link(self, existing: str, name: str, sha256: Sha256) -> None:
        """As ``Storage.link``. The store copies, unless the names need different attributes."""
        self._settle(existing)
        if _attributes(existing) == _attributes(name):
            self._begin(name, partial(self._copy, existing, name), 0)
        else:
            self.ensure(name, self.read(existing))

    def delete(self, *names: str) -> None:
        """As ``Storage.delete``."""
        self._settle_writes()
        for start in range(0, len(names), _DELETED):
            some = names[start : start + _DELETED]
            for name in some:
                self._settle(name)
                self._known.pop(name, None)
            with self._changing:
                future = self._pool.submit(self._delete, some)
                self._pending |= dict.fromkeys(some, (False, future))

    def note(self, name: str) -> None:
        """As ``Storage.note``: what another process has written is durable."""

    def clear(self) -> None:
        """As ``Storage.clear``: an unfinished object does not exist."""
        self._end()

    def settle(self) -> None:
        """As ``Storage.settle``."""
        for future in self._end():
            future.result()

    def _end(self) -> Sequence[Future[None]]:
        """Wait until all requests in the background have ended; their results."""
        with self._changing:
            pending, self._pending, self._bytes = self._pending, {}, 0
        futures = [future for _, future in pending.values()]
        wait(futures)
        return futures

    def flush(self) -> None:
        """As ``Storage.flush``: an object is durable when the store has answered."""
        self.settle()

    def _begin(self, name: str, action: Callable[[], None], size: int) -> None:
        """Write in the background by ``action``, after earlier ones for the same name."""
        self._settle(name)
        if self._bytes + size > _PENDING_BYTES:
            self.settle()
        with self._changing:
            self._pending[name] = True, self._pool.submit(action)
            self._bytes += size

    def _settle(self, name: str) -> None:
        """Wait for the action that is under way for one name."""
        with self._changing:
            _, future = self._pending.get(name, (True, None))
        if future is not None:
            future.result()

    def _settle_writes(self) -> None:
        """Wait for all writes, but not for deletions."""
        with self._changing:
            pending = list(self._pending.values())
        for writes, future in pending:
            if writes:
                future.result()

    def _put(self, name: str, data: bytes | Iterator[bytes], mode: PutMode = "overwrite") -> None:
        try:
            with self._asking(name):
                obstore.put(
                    self._store,
                    name,
                    data,
                    mode=mode,
                    attributes=_attributes(name),
                    chunk_size=PART,
                )
        except FileNotFoundError:
            raise OvertakenError(self.address, name) from None

    def _put_once(self, name: str, data: bytes, mode: PutMode = "create") -> None:
        try:
            self._put(name, data, mode)
        except OvertakenError:
            # If the answer to a request was lost, obstore tries again and finds its own object.
            # The store is asked directly: ``read`` would wait for this very call.
            if ObjectReader(self._store, self.address).read(name) != data:
                raise
        self._keep(name, data)

    def _put_named(self, name: str, data: bytes) -> None:
        """Write an object whose name has its digest, unless it exists."""
        try:
            self._put(name, data, "create")
        except OvertakenError:
            if not ObjectReader(self._store, self.address).holds(name, sha256_of(data)):
                self._put(name, data)
        self._keep(name, data)

    def _copy(self, existing: str, name: str) -> None:
        with self._asking(existing):
            obstore.copy(self._store, existing, name)

    def _delete(self, names: Sequence[str]) -> None:
        try:
            with self._asking(names[0]):
                obstore.delete(self._store, names)
        except FileNotFoundError:
            # Some stores stop at the first object that does not exist.
            for name in names:
                with suppress(FileNotFoundError), self._asking(name):
                    obstore.delete(self._store, name)


class Part:
    """The part of a storage under one folder. Implements ``Reader``.

    Args:
        whole: The storage.
        folder: The folder.
    """

    def __init__(self, whole: ObjectReader, folder: str) -> None:
        self._whole = whole
        self._folder = folder

    @property
    def address(self) -> str:
        """As ``Reader.address``."""
        return f"{self._whole.address}/{self._folder}"

    def read(self, name: str) -> bytes:
        """As ``Reader.read``."""
        return self._whole.read(f"{self._folder}/{name}")

    def exists(self, name: str) -> bool:
        """As ``Reader.exists``."""
        return self._whole.exists(f"{self._folder}/{name}")

    def list(self, folder: str = "") -> Iterator[Stored]:
        """As ``Reader.list``."""
        for each in self._whole.list(f"{self._folder}/{folder}".rstrip("/")):
            yield replace(each, name=each.name.removeprefix(f"{self._folder}/"))

    def open(self, name: str) -> Opened:
        """As ``Reader.open``."""
        return self._whole.open(f"{self._folder}/{name}")

    def here(self, name: str) -> Path | None:
        """As ``Reader.here``: an object is on no machine."""

    def fetch(self, name: str, path: Path, sha256: Sha256 | None = None) -> None:
        """As ``Reader.fetch``."""
        self._whole.fetch(f"{self._folder}/{name}", path, sha256)


def _is_final(name: str, data: bytes) -> bool:
    """Whether a name never has other bytes: it is written once, or has the digest of ``data``."""
    page = _PAGE.fullmatch(name)
    return page[1] == sha256_of(data) if page else _ONCE.fullmatch(name) is not None


def _verified(stream: BinaryIO, sha256: Sha256, source: Path) -> Iterator[bytes]:
    """The bytes of a file. The last part is yielded only if all of them have the digest."""
    digest, held = hashlib.sha256(), b""
    while chunk := stream.read(PART):
        digest.update(chunk)
        if held:
            yield held
        held = chunk
    if digest.hexdigest() != sha256:
        raise RepositoryStateError(f"{source} changed while it was read: sha256 {sha256}")
    yield held


def _attributes(name: str) -> dict[str, str]:
    """The HTTP headers for an object: its media type, and whether caches may keep it."""
    folder, _, rest = name.partition("/")
    kind = "application/octet-stream"
    if folder != PACKAGES_DIR:
        kind = "text/html; charset=utf-8" if rest.endswith(".html") else "application/json"
        if folder == SIMPLE_DIR and rest.endswith(".json"):
            kind = JSON_TYPE
    elif rest.endswith(METADATA_SUFFIX):
        kind = "text/plain; charset=utf-8"
    kept = "public, max-age=31536000, immutable" if _FOR_EVER.fullmatch(name) else "no-cache"
    return {"Content-Type": kind, "Cache-Control": kept}
