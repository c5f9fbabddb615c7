"""The memory of a repository in a database, for many machines. ``state.local`` is the other one."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

from securepip.engine.database import PostgresConnection, connect
from securepip.errors import RepositoryStateError
from securepip.redaction import redact
from securepip.signing.repository.config import (
    DATABASE_NAME,
    LEDGER_NAME,
    Config,
    parse_config,
)
from securepip.signing.repository.site import Site
from securepip.signing.repository.state.connection import Connection
from securepip.signing.repository.state.interface import State
from securepip.signing.repository.state.ledger import Ledger
from securepip.signing.repository.state.log import Log
from securepip.signing.repository.state.tokens import Tokens
from securepip.signing.repository.state.under_way import FolderUnderWay
from securepip.signing.repository.storage.files import Writer
from securepip.signing.repository.storage.interface import Storage

_UNDER_WAY = re.compile(r"(?:[A-Za-z0-9][A-Za-z0-9._-]{0,100}/)?[A-Za-z0-9][A-Za-z0-9._-]{0,250}")


class DatabaseState:
    """The memory of the repository in the schema of ``connection``. Implements ``State``.

    Args:
        connection: The connection to its tables.
        home: The folder on this machine for unfinished work.
        mark: A file that is made together with the repository, and says that its memory is in this
            database; None if it exists already.

    Attributes:
        connection: The connection to its tables.
    """

    def __init__(
        self, connection: PostgresConnection, home: Path, mark: Path | None = None
    ) -> None:
        self.connection = connection
        self._mark = mark
        self._held = 0
        self.address = connection.address
        self.ledger = Ledger(connection)
        self.log = Log(TableLines(connection, self.address))
        self.tokens = Tokens(connection)
        self.under_way = TableUnderWay(connection, home)

    def settings(self) -> Config:
        """As ``State.settings``."""
        row = self.connection.execute("SELECT document FROM setting").fetchone()
        if row is None:
            raise RepositoryStateError(
                f"there is no repository in the database {self.address}",
                remedy="`securepip repo init` with the same --database makes one. If there was "
                "one: the name of the database, or its search_path, is another.",
            )
        return parse_config(row[0].encode(), self.address)

    def keep_settings(self, config: Config) -> None:
        """As ``State.keep_settings``."""
        if self._mark is not None:
            self._mark.write_text(f"{self.address}\n", encoding="utf-8")
            self._mark = None
        with self.connection:
            self.connection.execute(
                'INSERT INTO setting VALUES (1, ?) ON CONFLICT ("only")'
                " DO UPDATE SET document = excluded.document",
                (config.to_json().decode(),),
            )
            # Front ends read the settings in the transaction in which they store an upload, so no
            # upload can be added unnoticed.
            waits = self.connection.execute("SELECT 1 FROM upload WHERE answered IS NULL LIMIT 1")
            if (config.moved_to or config.remembered_in) and waits.fetchone() is not None:
                raise RepositoryStateError(
                    f"uploads wait in the database {self.address} for their publication",
                    remedy="Stop the front ends, let a worker publish what waits, and try again.",
                )

    @contextmanager
    def lock(self) -> Iterator[bool]:
        """As ``State.lock``. It is a lock of the database, and ends with the connection."""
        if not self._held:
            self.connection.lock()
        self._held += 1
        try:
            yield self._held == 1
        finally:
            self._held -= 1
            if not self._held:
                self.connection.unlock()

    def close(self) -> None:
        """As ``State.close``."""
        self.connection.close()


class DatabaseSite:
    """A repository with the storage of another site and its memory in a database.

    Implements ``Site``.

    Args:
        site: The site with the storage.
        url: The address of the database, with its password.
        connect: Connects to it.
    """

    def __init__(
        self, site: Site, url: str, connect: Callable[[str], PostgresConnection] = connect
    ) -> None:
        self._site = site
        self._url = url
        self._connect = connect
        self.memory = redact(url)

    @property
    def address(self) -> str:
        """As ``Site.address``."""
        return self._site.address

    @property
    def name(self) -> str:
        """As ``Site.name``."""
        return self._site.name

    @property
    def home(self) -> Path:
        """As ``Site.home``."""
        return self._site.home

    @property
    def storage(self) -> Storage:
        """As ``Site.storage``."""
        return self._site.storage

    def anew(self) -> DatabaseSite:
        """As ``Site.anew``."""
        return DatabaseSite(self._site.anew(), self._url, self._connect)

    def serves(self, path: Path) -> bool:
        """As ``Site.serves``."""
        return self._site.serves(path)

    def make(self) -> State:
        """As ``Site.make``."""
        with ExitStack() as opened:
            connection = opened.enter_context(closing(self._connect(self._url)))
            if connection.execute("SELECT 1 FROM setting").fetchone() is not None:
                raise RepositoryStateError(
                    f"the database {connection.address} has a repository already",
                    remedy="Name another database, or another schema of this one "
                    "(?options=-csearch_path%3DNAME).",
                )
            self._site.make().close()
            (self.home / LEDGER_NAME).unlink(missing_ok=True)
            # A killed run may have left these before there was a repository.
            connection.execute("DELETE FROM log_line")
            opened.pop_all()
        return DatabaseState(connection, self.home, self.home / DATABASE_NAME)

    def take(self) -> State:
        """As ``Site.take``."""
        had_ledger = (self.home / LEDGER_NAME).exists()  # it may be the memory that is moved here
        self._site.take().close()
        if not had_ledger:
            (self.home / LEDGER_NAME).unlink(missing_ok=True)
        return DatabaseState(self._connect(self._url), self.home, self.home / DATABASE_NAME)

    def open(self) -> State:
        """As ``Site.open``."""
        return DatabaseState(self._connect(self._url), self.home)


class TableLines:
    """The lines of a log in a table; offsets are line numbers. Implements ``Lines``."""

    def __init__(self, connection: Connection, address: str) -> None:
        self.connection = connection
        self.address = f"{address}, table log_line"

    def append(self, parts: Iterable[bytes]) -> None:
        """As ``Lines.append``."""
        self.connection.execute(
            "INSERT INTO log_line SELECT 0, coalesce(max(number), 0) + 1, ?"
            " FROM log_line WHERE book = 0",
            (b"".join(parts).decode(),),
        )

    def after(self, offset: int) -> Iterator[tuple[bytes, int]]:
        """As ``Lines.after``."""
        while True:
            rows = self.connection.execute(
                "SELECT line, number FROM log_line WHERE book = 0 AND number > ?"
                " ORDER BY number LIMIT 100",
                (offset,),
            ).fetchall()
            for line, offset in rows:  # the last offset is where the next rows begin
                yield line.encode(), offset
            if not rows:
                return

    def tail(self, number: int | None, number_of: Callable[[bytes], int | None]) -> list[bytes]:
        """As ``Lines.tail``."""
        last = self.size()
        rows = self.connection.execute(
            "SELECT line FROM log_line WHERE book = 0 AND number >= ? ORDER BY number",
            (last if number is None else min(number, last),),
        )
        return [line.encode() for (line,) in rows]

    def size(self) -> int:
        """As ``Lines.size``."""
        row = self.connection.execute(
            "SELECT coalesce(max(number), 0) FROM log_line WHERE book = 0"
        ).fetchone()
        return int(row[0])

    def drop_torn(self) -> None:
        """As ``Lines.drop_torn``: a database has no incomplete rows."""

    def become(self, lines: Iterable[bytes]) -> None:
        """As ``Lines.become``."""
        with self.connection:
            self.connection.execute("DELETE FROM log_line WHERE book = 0")
            self.connection.executemany(
                "INSERT INTO log_line VALUES (0, ?, ?)",
                ((number, line.decode()) for number, line in enumerate(lines, 1)),
            )

    def set_aside(self) -> None:
        """As ``Lines.set_aside``."""
        self.connection.execute(
            "UPDATE log_line SET book = 1 + (SELECT max(book) FROM log_line) WHERE book = 0"
        )


class TableUnderWay:
    """Folders in a table, with a copy on the machine that works on them. Implements ``UnderWay``.

    Args:
        connection: The connection to the table.
        home: The folder for the copies on this machine.
    """

    def __init__(self, connection: PostgresConnection, home: Path) -> None:
        self._connection = connection
        self._home = home

    def names(self, folder: str) -> list[str]:
        """As ``UnderWay.names``."""
        rows = self._connection.execute(
            "SELECT name FROM under_way WHERE folder = ? ORDER BY name", (folder,)
        )
        return [_checked(name) for (name,) in rows]

    def file(self, folder: str, name: str) -> Path | None:
        """As ``UnderWay.file``."""
        row = self._connection.execute(
            "SELECT data FROM under_way WHERE folder = ? AND name = ?", (folder, name)
        ).fetchone()
        if row is None:
            return None
        path = self._home / folder / _checked(name)
        Writer(self._home / f"{folder}.unfinished").write(path, row[0])
        return path

    def folder(self, folder: str) -> Path:
        """As ``UnderWay.folder``."""
        path = self._home / folder
        if path.exists():
            shutil.rmtree(path)  # another machine may have finished the work since
        for name in self.names(folder):
            self.file(folder, name)
        return path

    def keep(self, folder: str) -> None:
        """As ``UnderWay.keep``."""
        names = FolderUnderWay(self._home).names(folder)
        self.put(folder, ((name, (self._home / folder / name).read_bytes()) for name in names))

    def put(self, folder: str, files: Iterable[tuple[str, bytes]]) -> None:
        """As ``UnderWay.put``."""
        with self._connection:
            self._connection.execute("DELETE FROM under_way WHERE folder = ?", (folder,))
            self._connection.executemany(
                "INSERT INTO under_way VALUES (?, ?, ?)",
                ((folder, name, data) for name, data in files),
            )

    def forget(self, folder: str, name: str = "") -> None:
        """As ``UnderWay.forget``."""
        FolderUnderWay(self._home).forget(folder, name)
        self._connection.execute(
            "DELETE FROM under_way WHERE folder = ? AND ? IN ('', name)", (folder, name)
        )


def _checked(name: str) -> str:
    """Check the name of a file: whoever can write to the database must not reach other files."""
    if not _UNDER_WAY.fullmatch(name):
        raise RepositoryStateError(
            f"the database remembers a file of the name {name!r:.200}",
            meaning="Nothing that securepip began has such a name: somebody else wrote it there.",
            remedy="Find out who, and restore the database from a backup.",
        )
    return name
