-- Schema 2: whose an experiment is, keys of one's own, and tokens.

ALTER TABLE experiments ADD COLUMN owner TEXT NOT NULL DEFAULT 'local';
CREATE INDEX experiments_by_owner ON experiments (owner, number);

-- A key stands for the one experiment that its owner's first use made.
CREATE TABLE owned_keys (
    owner         TEXT NOT NULL,
    key           TEXT NOT NULL,
    body_hash     TEXT NOT NULL,
    experiment_id TEXT NOT NULL REFERENCES experiments (id) ON DELETE CASCADE,
    PRIMARY KEY (owner, key)
);
INSERT INTO owned_keys SELECT 'local', key, body_hash, experiment_id FROM idempotency_keys;
DROP TABLE idempotency_keys;
ALTER TABLE owned_keys RENAME TO idempotency_keys;
CREATE INDEX idempotency_keys_by_experiment ON idempotency_keys (experiment_id);

-- Tokens as hashes: the secret half is shown once and never kept. `name` owns what is posted with it.
CREATE TABLE tokens (
    id         TEXT PRIMARY KEY,
    name       TEXT NOT NULL,
    role       TEXT NOT NULL,
    hash       TEXT NOT NULL,
    created_at TEXT NOT NULL,
    expires_at TEXT,
    revoked_at TEXT
);
