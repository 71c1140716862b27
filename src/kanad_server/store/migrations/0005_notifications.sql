-- Schema 5: what is to be told to whom when an experiment has ended. A row goes once its receiver has said that it has it.

CREATE TABLE notifications (
    number     INTEGER PRIMARY KEY AUTOINCREMENT,
    id         TEXT    NOT NULL UNIQUE,
    url        TEXT    NOT NULL,
    origin     TEXT    NOT NULL,
    body       TEXT    NOT NULL,
    tries      INTEGER NOT NULL DEFAULT 0,
    created_at REAL    NOT NULL,                   -- seconds since 1970
    due_at     REAL    NOT NULL
);
CREATE INDEX notifications_by_due ON notifications (origin, due_at);
