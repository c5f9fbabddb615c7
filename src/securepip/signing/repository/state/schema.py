"""The tables of a repository's memory, as migration steps.

Rule: opening a memory runs the steps that are missing. A released step never changes; a change is a
new step. The first step makes the tables that repositories had before steps were counted, so it
skips tables that exist.

The placeholders in braces stand for the words in which SQLite and PostgreSQL differ (``Words``).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class Words:
    """The SQL of one database for the placeholders in the steps.

    Attributes:
        text: The type of a text column that sorts by bytes.
        numbered: The type of a key that is assigned automatically, in increasing order.
        keyed: The clause that stores a table in the order of its key.
        row: An expression that grows with each row of a table without a key.
    """

    text: str
    numbered: str
    keyed: str
    row: str


_LEDGER = """
CREATE TABLE IF NOT EXISTS signed (
    id {numbered},
    project {text} NOT NULL, filename {text} NOT NULL, sha256 {text} NOT NULL,
    UNIQUE (project, filename, sha256)
);
CREATE TABLE IF NOT EXISTS refused (
    project {text} NOT NULL, filename {text} NOT NULL, sha256 {text} NOT NULL,
    PRIMARY KEY (project, filename)
);
CREATE INDEX IF NOT EXISTS refused_by_filename ON refused (filename);
CREATE TABLE IF NOT EXISTS withdrawn (
    project {text} NOT NULL, version {text} NOT NULL, filename {text} NOT NULL,
    PRIMARY KEY (project, version, filename)
);
CREATE TABLE IF NOT EXISTS flushed (
    "only" INTEGER PRIMARY KEY CHECK ("only" = 1), times INTEGER
);
CREATE TABLE IF NOT EXISTS unfinished (project {text} PRIMARY KEY);
CREATE TABLE IF NOT EXISTS listing (
    "only" INTEGER PRIMARY KEY CHECK ("only" = 1), since DOUBLE PRECISION NOT NULL
);
CREATE TABLE IF NOT EXISTS partial (project {text} PRIMARY KEY);
CREATE TABLE IF NOT EXISTS current (
    "only" INTEGER PRIMARY KEY CHECK ("only" = 1),
    root BIGINT NOT NULL, timestamp BIGINT NOT NULL
);
CREATE TABLE IF NOT EXISTS frozen (project {text} PRIMARY KEY, why {text} NOT NULL);
"""

_KNOWN = """
CREATE TABLE IF NOT EXISTS known_role (
    name {text} PRIMARY KEY, version BIGINT NOT NULL, expires DOUBLE PRECISION NOT NULL,
    pages BIGINT NOT NULL, files BIGINT NOT NULL
) {keyed};
CREATE INDEX IF NOT EXISTS known_role_by_expiry ON known_role (expires);
CREATE TABLE IF NOT EXISTS known_page (
    project {text} NOT NULL, role {text} NOT NULL, sha256 {text} NOT NULL,
    PRIMARY KEY (project, role)
) {keyed};
CREATE INDEX IF NOT EXISTS known_page_by_role ON known_page (role);
CREATE TABLE IF NOT EXISTS known_state (
    "only" INTEGER PRIMARY KEY CHECK ("only" = 1), snapshot {text} NOT NULL
);
"""

_TOKENS = """
CREATE TABLE IF NOT EXISTS upload_token (
    id {text} PRIMARY KEY, digest {text} NOT NULL, every_project INTEGER NOT NULL,
    note {text} NOT NULL,
    created DOUBLE PRECISION NOT NULL, used DOUBLE PRECISION, revoked DOUBLE PRECISION
) {keyed};
CREATE TABLE IF NOT EXISTS upload_token_project (
    id {text} NOT NULL, project {text} NOT NULL, PRIMARY KEY (id, project)
) {keyed};
"""

# An earlier version kept unverified answers in `learned_file`, so that table is dropped.
_OVERLAY = """
DROP TABLE IF EXISTS learned_file;
CREATE TABLE IF NOT EXISTS upstream_page (
    project {text} PRIMARY KEY, settings {text} NOT NULL, readings {text} NOT NULL,
    page {text} NOT NULL, review_at DOUBLE PRECISION
);
CREATE TABLE IF NOT EXISTS learned (
    project {text} NOT NULL, sha256 {text} NOT NULL,
    size BIGINT, size_at DOUBLE PRECISION, metadata {text}, metadata_at DOUBLE PRECISION,
    requirements {text},
    PRIMARY KEY (project, sha256)
);
CREATE TABLE IF NOT EXISTS synced (project {text} PRIMARY KEY);
CREATE TABLE IF NOT EXISTS upstream (location {text} NOT NULL, named INTEGER NOT NULL);
"""

_PAGE = """
CREATE TABLE IF NOT EXISTS page_reached (
    "only" INTEGER PRIMARY KEY CHECK ("only" = 1),
    "offset" BIGINT NOT NULL, number BIGINT NOT NULL
);
CREATE TABLE IF NOT EXISTS page_command (
    number INTEGER PRIMARY KEY, time {text} NOT NULL, command {text} NOT NULL,
    words {text} NOT NULL, publications BIGINT NOT NULL
);
CREATE TABLE IF NOT EXISTS page_week (
    monday {text} PRIMARY KEY, publications BIGINT NOT NULL
);
"""

# The order in which the indexes of a sync were named. Only in SQLite do the rows keep their order.
_ORDERED_UPSTREAMS = """
ALTER TABLE upstream ADD COLUMN position BIGINT NOT NULL DEFAULT 0;
UPDATE upstream SET position = {row};
"""

# What a sync has found and still has to do. Strangers write the requirements in `want`, and no
# database takes a text of any length as a key, so the key has its digest.
WALK = """
CREATE TABLE walk (
    "only" INTEGER PRIMARY KEY CHECK ("only" = 1),
    asked {text} NOT NULL, begun DOUBLE PRECISION NOT NULL
);
CREATE TABLE walk_project (
    id {numbered}, project {text} NOT NULL UNIQUE, because {text} NOT NULL,
    named INTEGER NOT NULL, certain INTEGER NOT NULL,
    stage INTEGER NOT NULL, published INTEGER NOT NULL, troubled INTEGER NOT NULL
);
CREATE INDEX walk_project_by_stage ON walk_project (stage, id);
CREATE TABLE walk_want (
    project {text} NOT NULL, sha256 {text} NOT NULL, want {text} NOT NULL,
    followed INTEGER NOT NULL,
    PRIMARY KEY (project, sha256)
) {keyed};
"""

STEPS = ("".join((_LEDGER, _KNOWN, _TOKENS, _OVERLAY, _PAGE)), _ORDERED_UPSTREAMS, WALK)


def statements(steps: Sequence[str], done: int, words: Words) -> Iterator[str]:
    """The statements of the steps after the first ``done`` ones."""
    for step in steps[done:]:
        for statement in step.format(**asdict(words)).split(";"):
            if statement.strip():
                yield statement.strip()
