"""A repository in an object store, whose memory is in a folder on the machine that signs.

Rule: the bucket holds only what everybody may read. Keys, the ledger and the log are never in it.
They are in a folder on this machine that belongs to this bucket alone.
"""

from __future__ import annotations

import os
import re
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from obstore.exceptions import BaseError
from obstore.store import from_url

from securepip.dirs import data_dir
from securepip.engine.address import SETTINGS, StoreAddress
from securepip.engine.failures import explained
from securepip.engine.storage import ObjectStorage
from securepip.errors import RepositoryStateError
from securepip.formats.digests import sha256_of
from securepip.formats.layout import METADATA_DIR, PACKAGES_DIR, SIMPLE_DIR, STATUS_DIR
from securepip.signing.repository.config import (
    CONFIG_NAME,
    DATABASE_NAME,
    LOG_NAME,
    STATE_DIR,
    check_no_database,
)
from securepip.signing.repository.roles import TIMESTAMP_NAME
from securepip.signing.repository.state.interface import State
from securepip.signing.repository.state.local import LocalState

if TYPE_CHECKING:
    from obstore.store import ClientConfig, ObjectStore, RetryConfig

_DIR = "buckets"
_BEGUN_NAME = "begun"
_SERVED = (METADATA_DIR, SIMPLE_DIR, PACKAGES_DIR, STATUS_DIR)


_RETRY: RetryConfig = {
    "max_retries": 4,
    "backoff": {"init_backoff": timedelta(milliseconds=100), "max_backoff": timedelta(seconds=5)},
    "retry_timeout": timedelta(seconds=60),
}


class BucketSite:
    """The place of a repository in an object store. Implements ``Site``.

    Args:
        address: Its address.
        client: The client of the store; by default a new one, with the credentials in environment
            variables.

    Raises:
        StorageError: The settings of the environment are not valid.
    """

    def __init__(self, address: StoreAddress, client: ObjectStore | None = None) -> None:
        self._where = address
        self._client = client or _client(address)
        self.address = str(address)
        self.name = address.prefix.rpartition("/")[2] or address.bucket
        self.storage = ObjectStorage(self._client, self.address)
        readable = re.sub(r"[^a-z0-9]+", "-", self.name.lower()).strip("-")
        digest = sha256_of(self.address.encode())[:16]
        self._folder = data_dir() / _DIR / f"{readable}-{digest}"
        self.memory = self.address  # the same on every machine; the timestamp shows the newest one

    @property
    def home(self) -> Path:
        """As ``Site.home``. The folder is made if it does not exist."""
        home = self._folder / STATE_DIR
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        return home

    def anew(self) -> BucketSite:
        """As ``Site.anew``. All threads share the client of the store."""
        return BucketSite(self._where, self._client)

    def serves(self, path: Path) -> bool:
        """As ``Site.serves``: no file of this machine is served."""
        return False

    def make(self) -> State:
        """As ``Site.make``."""
        state = self._folder / STATE_DIR
        if (state / CONFIG_NAME).exists():
            raise RepositoryStateError(
                f"{self.address} is a repository already",
                remedy="Name another bucket or prefix. What this one is: "
                f"securepip repo status {self.address}",
            )
        # Files of a repository that this machine began to make, and was killed, can be deleted.
        timestamp = f"{METADATA_DIR}/{TIMESTAMP_NAME}"
        begun = (state / _BEGUN_NAME).exists() and not self.storage.exists(timestamp)
        left = [each.name for each in self.storage.list()]
        if left and not (begun and all(name.partition("/")[0] in _SERVED for name in left)):
            check_no_database(self._folder, self.address)
            raise RepositoryStateError(
                f"{self.address} is not empty: it holds {left[0]!r:.200}",
                remedy="Name a bucket or prefix in which there is nothing.",
            )
        self.storage.delete(*left)
        self.storage.settle()
        try:
            (self.home / _BEGUN_NAME).touch()
            for former in (LOG_NAME, DATABASE_NAME):
                (state / former).unlink(missing_ok=True)
        except OSError as error:
            raise RepositoryStateError(f"{state} cannot be made: {error}") from None
        return LocalState(self._folder)

    def take(self) -> State:
        """As ``Site.take``."""
        try:
            return LocalState(self.home.parent)
        except OSError as error:
            raise RepositoryStateError(f"{self._folder} cannot be made: {error}") from None

    def open(self) -> State:
        """As ``Site.open``."""
        state = self._folder / STATE_DIR
        if not (state / CONFIG_NAME).exists():
            check_no_database(self._folder, self.address)
            raise RepositoryStateError(
                f"this machine does not sign for {self.address} "
                f"(there is no {state / CONFIG_NAME})",
                meaning="The memory of a repository is not in its bucket, where others may be able "
                "to change it.",
                remedy="Run this on the machine that made it. If a database remembers for it, name "
                "that with --database. If there is none yet, make it: "
                f"securepip repo init {self.address}",
            )
        return LocalState(self._folder)


def _client(address: StoreAddress) -> ObjectStore:
    # These options replace those that obstore reads itself, so this variable has to be read here.
    without_tls = os.environ.get(SETTINGS[address.scheme].without_tls, "")
    limits: ClientConfig = {
        "connect_timeout": timedelta(seconds=10),
        "timeout": timedelta(seconds=60),
        "allow_http": without_tls.lower() in ("1", "true"),
    }
    try:
        return from_url(str(address), client_options=limits, retry_config=_RETRY)
    except (BaseError, ValueError) as error:
        raise explained(error, str(address)) from None
