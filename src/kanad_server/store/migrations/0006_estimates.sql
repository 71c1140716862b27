-- Schema 6: how many seconds an experiment was estimated to take at most; null where that is not known.

ALTER TABLE experiments ADD COLUMN estimated_s REAL;
