"""The memory of a repository in the folder ``state``, beside the served folders."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from securepip.errors import RepositoryStateError
from securepip.signing.repository.config import (
    CONFIG_NAME,
    DATABASE_NAME,
    LEDGER_NAME,
    LOCK_NAME,
    LOG_NAME,
    STATE_DIR,
    UNFINISHED_DIR,
    Config,
    load_config,
)
from securepip.signing.repository.state.ledger import Ledger
from securepip.signing.repository.state.lines import FileLines
from securepip.signing.repository.state.log import Log
from securepip.signing.repository.state.sqlite import open_sqlite
from securepip.signing.repository.state.tokens import Tokens
from securepip.signing.repository.state.under_way import FolderUnderWay
from securepip.signing.repository.storage.files import Writer

_LOCK_SECONDS = 60


class LocalState:
    """The state of the repository in ``folder``. Implements ``State``.

    Raises:
        RepositoryStateError: The ledger cannot be opened.
    """

    def __init__(self, folder: Path) -> None:
        self._repository = folder
        self._folder = folder / STATE_DIR
        self._writer = Writer(self._folder / UNFINISHED_DIR)
        self._lock = FileLock(self._folder / LOCK_NAME, timeout=_LOCK_SECONDS)
        self.ledger = Ledger(open_sqlite(self._folder / LEDGER_NAME))
        self.log = Log(FileLines(self._folder / LOG_NAME))
        self.tokens = Tokens(self.ledger.connection)
        self.under_way = FolderUnderWay(self._folder)

    @property
    def address(self) -> str:
        """As ``State.address``."""
        return str(self._repository)

    def settings(self) -> Config:
        """As ``State.settings``."""
        return load_config(self._repository)

    def keep_settings(self, config: Config) -> None:
        """As ``State.keep_settings``."""
        self._writer.write(self._folder / CONFIG_NAME, config.to_json(), durable=True)
        if not config.remembered_in:
            (self._folder / DATABASE_NAME).unlink(missing_ok=True)  # the memory is here again

    @contextmanager
    def lock(self) -> Iterator[bool]:
        """As ``State.lock``."""
        try:
            self._lock.acquire()
        except Timeout:
            raise RepositoryStateError(
                f"another process is changing {self.address}", remedy="Try again when it is done."
            ) from None
        try:
            yield self._lock.lock_counter == 1
        finally:
            self._lock.release()

    def close(self) -> None:
        """As ``State.close``."""
        self.ledger.close()
