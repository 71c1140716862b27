-- Schema 4: when the log of an ended experiment was thinned; null where it is whole, and again once it goes on.

ALTER TABLE experiments ADD COLUMN thinned_at TEXT;
CREATE INDEX experiments_to_thin ON experiments (finished_at) WHERE thinned_at IS NULL AND finished_at IS NOT NULL;
