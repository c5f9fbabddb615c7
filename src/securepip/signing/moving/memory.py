"""What a repository remembers, carried to another place.

Rule: all of it comes, or the repository is not there yet: the settings, which say that it is, are
the caller's last step.
"""

from __future__ import annotations

from securepip.signing.repository.register import PENDING_DIR as PENDING_KEYS_DIR
from securepip.signing.repository.state.interface import State

TABLES = {
    "signed": "project, filename, sha256",
    "refused": "project, filename, sha256",
    "withdrawn": "project, version, filename",
    "unfinished": "project",
    "partial": "project",
    "current": '"only", root, timestamp',
    "frozen": "project, why",
    "upload_token": "id, digest, every_project, note, created, used, revoked",
    "upload_token_project": "id, project",
    "upstream_page": "project, settings, readings, page, review_at",
    "learned": "project, sha256, size, size_at, metadata, metadata_at, requirements",
    "synced": "project",
    "upstream": "location, named, position",
}
"""The tables that cannot be made from anything else, and their columns."""

REMADE = {
    "known_role",
    "known_page",
    "known_state",
    "page_reached",
    "page_command",
    "page_week",
    "listing",
    "flushed",
    "walk",
    "walk_project",
    "walk_want",
}
"""Those that follow from what is signed and from the log, and what a killed sync has left."""


def carry(source: State, target: State) -> None:
    """Let ``target`` remember what ``source`` does, settings excepted, and nothing else.

    Both locks must be held.
    """
    here, there = source.ledger.connection, target.ledger.connection
    with there:
        for table in (*TABLES, *sorted(REMADE)):
            there.execute(f"DELETE FROM {table}")  # noqa: S608 # a name from above
        for table, columns in TABLES.items():
            order = " ORDER BY id" if table == "signed" else ""
            places = ", ".join("?" * len(columns.split(",")))
            rows = here.execute(f"SELECT {columns} FROM {table}{order}")  # noqa: S608
            there.executemany(
                f"INSERT INTO {table} ({columns}) VALUES ({places})",  # noqa: S608
                rows,
            )
    target.log.become(source.log)
    target.ledger.flush()


def carry_files(source: State, target: State) -> None:
    """Let the transactions that wait for offline keys wait at ``target``. Both locks must be held.

    The two may have them in the same folder: whoever is killed here leaves them there.
    """
    folder = source.under_way.folder(PENDING_KEYS_DIR)
    names = source.under_way.names(PENDING_KEYS_DIR)
    files = ((name, (folder / name).read_bytes()) for name in names)
    target.under_way.put(PENDING_KEYS_DIR, files)
