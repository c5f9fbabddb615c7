"""The tables that a database has beside those of every repository, as steps (``state.schema``)."""

from __future__ import annotations

# What a folder keeps in files: settings, and the lines of the log. Those of book 0 are the log;
# higher ones were set aside.
_FILES = """
CREATE TABLE setting ("only" INTEGER PRIMARY KEY CHECK ("only" = 1), document TEXT NOT NULL);
CREATE TABLE log_line (
    book INTEGER NOT NULL, number BIGINT NOT NULL, line TEXT NOT NULL, PRIMARY KEY (book, number)
);
"""

# Uploads that are kept safe, under the name ``staged`` in the storage. ``answered`` is when it was
# decided what becomes of one: ``status`` and ``words`` are for its sender.
_UPLOADS = """
CREATE TABLE upload (
    id {numbered},
    project {text} NOT NULL, filename {text} NOT NULL, sha256 {text} NOT NULL,
    size BIGINT NOT NULL, staged {text} NOT NULL, token {text} NOT NULL,
    received TIMESTAMPTZ NOT NULL DEFAULT now(), job BIGINT,
    answered TIMESTAMPTZ, status INTEGER, words TEXT
);
CREATE INDEX upload_waiting ON upload (id) WHERE answered IS NULL;
CREATE TABLE tally (
    "only" INTEGER PRIMARY KEY CHECK ("only" = 1), publications BIGINT NOT NULL,
    seconds DOUBLE PRECISION NOT NULL, files BIGINT NOT NULL, refused BIGINT NOT NULL
);
INSERT INTO tally VALUES (1, 0, 0, 0, 0);
"""

STEPS = (_FILES, _UPLOADS)
