BEGIN TRANSACTION;
CREATE TABLE current (
    only INTEGER PRIMARY KEY CHECK (only = 1), root INTEGER NOT NULL, timestamp INTEGER NOT NULL
);
INSERT INTO "current" VALUES(1,1,2);
CREATE TABLE flushed (only INTEGER PRIMARY KEY CHECK (only = 1), times INTEGER);
INSERT INTO "flushed" VALUES(1,1);
CREATE TABLE frozen (project TEXT PRIMARY KEY, why TEXT NOT NULL);
INSERT INTO "frozen" VALUES('app','stolen');
CREATE TABLE known_page (
    project TEXT NOT NULL, role TEXT NOT NULL, sha256 TEXT NOT NULL, PRIMARY KEY (project, role)
) WITHOUT ROWID;
INSERT INTO "known_page" VALUES('app','bin-15','d697585ada4e8556d7e3c37e55d731a671ac0beb8d1086492a9090ca384a92c9');
CREATE TABLE known_role (
    name TEXT PRIMARY KEY, version INTEGER NOT NULL, expires REAL NOT NULL,
    pages INTEGER NOT NULL, files INTEGER NOT NULL
) WITHOUT ROWID;
INSERT INTO "known_role" VALUES('bin-10',1,1803549073.0,0,0);
INSERT INTO "known_role" VALUES('bin-15',2,1803549073.0,1,1);
CREATE TABLE known_state (
    only INTEGER PRIMARY KEY CHECK (only = 1), snapshot TEXT NOT NULL
);
INSERT INTO "known_state" VALUES(1,'7cd4f25699f647ba24e89d8add6970f2faeffb7bdc30ab37d35415e40a646bb9');
CREATE TABLE learned (
    project TEXT NOT NULL, sha256 TEXT NOT NULL,
    size INTEGER, size_at REAL, metadata TEXT, metadata_at REAL, requirements TEXT,
    PRIMARY KEY (project, sha256)
);
CREATE TABLE listing (only INTEGER PRIMARY KEY CHECK (only = 1), since REAL NOT NULL);
CREATE TABLE page_command (
    number INTEGER PRIMARY KEY, time TEXT NOT NULL, command TEXT NOT NULL, words TEXT NOT NULL,
    publications INTEGER NOT NULL
);
INSERT INTO "page_command" VALUES(3,'2026-11-27T09:51:13+00:00','repo init','',2);
CREATE TABLE page_reached (
    only INTEGER PRIMARY KEY CHECK (only = 1), offset INTEGER NOT NULL, number INTEGER NOT NULL
);
INSERT INTO "page_reached" VALUES(1,6808,3);
CREATE TABLE page_week (monday TEXT PRIMARY KEY, publications INTEGER NOT NULL);
INSERT INTO "page_week" VALUES('2026-11-23',2);
CREATE TABLE partial (project TEXT PRIMARY KEY);
CREATE TABLE refused (
    project TEXT NOT NULL, filename TEXT NOT NULL, sha256 TEXT NOT NULL,
    PRIMARY KEY (project, filename)
);
INSERT INTO "refused" VALUES('app','app-1.0-py3-none-any.whl','1111111111111111111111111111111111111111111111111111111111111111');
CREATE TABLE signed (
    id INTEGER PRIMARY KEY,
    project TEXT NOT NULL, filename TEXT NOT NULL, sha256 TEXT NOT NULL,
    UNIQUE (project, filename, sha256)
);
INSERT INTO "signed" VALUES(1,'app','app-1.0-py3-none-any.whl','335fd22d6726a9d6f9d676a8b4fd8c0e2dcbd453b9a4b6dc23491f00d0d820b5');
CREATE TABLE synced (project TEXT PRIMARY KEY);
INSERT INTO "synced" VALUES('app');
CREATE TABLE unfinished (project TEXT PRIMARY KEY);
CREATE TABLE upload_token (
    id TEXT PRIMARY KEY, digest TEXT NOT NULL, every_project INTEGER NOT NULL, note TEXT NOT NULL,
    created REAL NOT NULL, used REAL, revoked REAL
) WITHOUT ROWID;
INSERT INTO "upload_token" VALUES('c6b0dbd88c61','a3030224401e10c8f7aeab0da14858687a360281dbce3423b8f5419757003962',0,'the first',1.79577307381322598452e+09,NULL,NULL);
CREATE TABLE upload_token_project (
    id TEXT NOT NULL, project TEXT NOT NULL, PRIMARY KEY (id, project)
) WITHOUT ROWID;
INSERT INTO "upload_token_project" VALUES('c6b0dbd88c61','app');
CREATE TABLE upstream (location TEXT NOT NULL, named INTEGER NOT NULL);
INSERT INTO "upstream" VALUES('https://two.example.org/simple',1);
INSERT INTO "upstream" VALUES('https://one.example.org/simple',1);
CREATE TABLE upstream_page (
    project TEXT PRIMARY KEY, settings TEXT NOT NULL, readings TEXT NOT NULL,
    page TEXT NOT NULL, review_at REAL
);
CREATE TABLE withdrawn (
    project TEXT NOT NULL, version TEXT NOT NULL, filename TEXT NOT NULL,
    PRIMARY KEY (project, version, filename)
);
INSERT INTO "withdrawn" VALUES('gone','','');
CREATE INDEX refused_by_filename ON refused (filename);
CREATE INDEX known_role_by_expiry ON known_role (expires);
CREATE INDEX known_page_by_role ON known_page (role);
COMMIT;
