-- Schema 3: campaigns, keys that stand for several experiments, results that can be used again, and the orders in
-- which the list is read.

CREATE TABLE campaigns (
    number     INTEGER PRIMARY KEY AUTOINCREMENT,
    id         TEXT    NOT NULL UNIQUE,
    owner      TEXT    NOT NULL,
    name       TEXT    NOT NULL,
    tags       TEXT    NOT NULL,                   -- JSON array
    size       INTEGER NOT NULL,
    created_at TEXT    NOT NULL
);
CREATE INDEX campaigns_by_owner ON campaigns (owner, number);

ALTER TABLE experiments ADD COLUMN campaign TEXT REFERENCES campaigns (id) ON DELETE CASCADE;
CREATE INDEX experiments_by_campaign ON experiments (campaign, status) WHERE campaign IS NOT NULL;

-- The versions that made a converged result; null where there is none to use again.
ALTER TABLE experiments ADD COLUMN made_with TEXT;
CREATE INDEX experiments_to_reuse ON experiments (owner, spec_hash, made_with) WHERE made_with IS NOT NULL;
DROP INDEX experiments_by_spec;

-- A key stands for what its owner's first use made: one experiment, or those of a batch in their order.
CREATE TABLE keys (
    owner         TEXT    NOT NULL,
    key           TEXT    NOT NULL,
    position      INTEGER NOT NULL,
    body_hash     TEXT    NOT NULL,
    experiment_id TEXT    NOT NULL REFERENCES experiments (id) ON DELETE CASCADE,
    PRIMARY KEY (owner, key, position)
);
INSERT INTO keys SELECT owner, key, 0, body_hash, experiment_id FROM idempotency_keys;
DROP TABLE idempotency_keys;
ALTER TABLE keys RENAME TO idempotency_keys;
CREATE INDEX idempotency_keys_by_experiment ON idempotency_keys (experiment_id);

-- The list, in each order: of all, of one status, of one method. An experiment without the value sorts above every one
-- that has it.
CREATE INDEX list_by_finished_at ON experiments (coalesce(finished_at, '~'), number);
CREATE INDEX list_by_energy_hartree ON experiments (coalesce(energy_hartree, 1e300), number);
CREATE INDEX list_by_name ON experiments (name, number);
DROP INDEX experiments_by_status;
CREATE INDEX list_status_by_created_at ON experiments (status, number);
CREATE INDEX list_status_by_finished_at ON experiments (status, coalesce(finished_at, '~'), number);
CREATE INDEX list_status_by_energy_hartree ON experiments (status, coalesce(energy_hartree, 1e300), number);
CREATE INDEX list_status_by_name ON experiments (status, name, number);
CREATE INDEX list_method_by_created_at ON experiments (method, number);
CREATE INDEX list_method_by_finished_at ON experiments (method, coalesce(finished_at, '~'), number);
CREATE INDEX list_method_by_energy_hartree ON experiments (method, coalesce(energy_hartree, 1e300), number);
CREATE INDEX list_method_by_name ON experiments (method, name, number);

-- Tags and parts of names, to find experiments by.
CREATE TABLE experiment_tags (
    tag    TEXT    NOT NULL,
    number INTEGER NOT NULL REFERENCES experiments (number) ON DELETE CASCADE,
    PRIMARY KEY (tag, number)
) WITHOUT ROWID;
CREATE INDEX experiment_tags_by_number ON experiment_tags (number);
CREATE VIRTUAL TABLE experiment_names USING fts5 (name, content = '', tokenize = 'trigram');

CREATE TRIGGER experiment_is_found AFTER INSERT ON experiments BEGIN
    INSERT OR IGNORE INTO experiment_tags SELECT value, new.number FROM json_each(new.tags);
    INSERT INTO experiment_names (rowid, name) SELECT new.number, new.name WHERE new.name <> '';
END;
CREATE TRIGGER experiment_is_forgotten AFTER DELETE ON experiments BEGIN
    INSERT INTO experiment_names (experiment_names, rowid, name)
    SELECT 'delete', old.number, old.name WHERE old.name <> '';
END;

INSERT OR IGNORE INTO experiment_tags SELECT value, number FROM experiments, json_each(experiments.tags);
INSERT INTO experiment_names (rowid, name) SELECT number, name FROM experiments WHERE name <> '';
