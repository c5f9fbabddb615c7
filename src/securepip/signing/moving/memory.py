"""Copies what a repository remembers to another place.

Rule: everything is copied, or the repository does not exist at the new place. The settings make it
exist, and the caller writes them last.
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
"""The tables that hold what is recorded nowhere else, and their columns."""

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
"""The tables that are built again from the signed roles and the log, or that hold a killed sync."""


def carry(source: State, target: State) -> None:
    """Replace what ``target`` remembers with what ``source`` remembers, except for the settings.

    Both locks must be held.
    """
    old, new = source.ledger.connection, target.ledger.connection
    with new:
        for table in (*TABLES, *sorted(REMADE)):
            new.execute(f"DELETE FROM {table}")  # noqa: S608 # a name from above
        for table, columns in TABLES.items():
            order = " ORDER BY id" if table == "signed" else ""
            places = ", ".join("?" * len(columns.split(",")))
            rows = old.execute(f"SELECT {columns} FROM {table}{order}")  # noqa: S608
            new.executemany(
                f"INSERT INTO {table} ({columns}) VALUES ({places})",  # noqa: S608
                rows,
            )
    target.log.become(source.log)
    target.ledger.flush()


def carry_files(source: State, target: State) -> None:
    """Copy the transactions that wait for offline keys to ``target``. Both locks must be held.

    Source and target may keep them in the same folder, so nothing is deleted before it is written.
    """
    folder = source.under_way.folder(PENDING_KEYS_DIR)
    names = source.under_way.names(PENDING_KEYS_DIR)
    files = ((name, (folder / name).read_bytes()) for name in names)
    target.under_way.put(PENDING_KEYS_DIR, files)
