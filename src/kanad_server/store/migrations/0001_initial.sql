-- Schema 1. `PRAGMA user_version` holds the number of the last migration that ran.

-- One row for each experiment. While it is active the journal holds its live progress in memory;
-- the row is written when the status changes, so that a restart knows where it stood.
CREATE TABLE experiments (
    number           INTEGER PRIMARY KEY AUTOINCREMENT,  -- order of acceptance
    id               TEXT    NOT NULL UNIQUE,
    name             TEXT    NOT NULL,
    tags             TEXT    NOT NULL,                   -- JSON array
    priority         INTEGER NOT NULL,
    status           TEXT    NOT NULL,
    method           TEXT    NOT NULL,
    spec             TEXT    NOT NULL,                   -- canonical JSON
    spec_hash        TEXT    NOT NULL,
    attempt          INTEGER NOT NULL,
    losses           INTEGER NOT NULL,
    cancel_requested INTEGER NOT NULL,
    progress         TEXT    NOT NULL,                   -- JSON
    energy_hartree   REAL,
    error            TEXT,                               -- JSON
    created_at       TEXT    NOT NULL,
    started_at       TEXT,
    finished_at      TEXT,
    reused_from      TEXT
);

CREATE INDEX experiments_by_status ON experiments (status, number);
CREATE INDEX experiments_by_spec ON experiments (spec_hash, number);

-- The log. `body` is the event exactly as every viewer receives it, so that replay encodes nothing.
CREATE TABLE events (
    experiment_id TEXT    NOT NULL REFERENCES experiments (id) ON DELETE CASCADE,
    seq           INTEGER NOT NULL,
    body          TEXT    NOT NULL,
    PRIMARY KEY (experiment_id, seq)
) WITHOUT ROWID;

-- At most one result for each experiment, ever.
CREATE TABLE results (
    experiment_id TEXT PRIMARY KEY REFERENCES experiments (id) ON DELETE CASCADE,
    body          TEXT NOT NULL
);

-- An idempotency key stands for the one experiment that its first use made.
CREATE TABLE idempotency_keys (
    key           TEXT PRIMARY KEY,
    body_hash     TEXT NOT NULL,
    experiment_id TEXT NOT NULL REFERENCES experiments (id) ON DELETE CASCADE
);
