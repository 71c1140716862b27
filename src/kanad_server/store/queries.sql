-- Every statement of the store, by name. Each block begins with `-- name:`.

-- name: insert_campaign
INSERT INTO campaigns (id, owner, name, tags, size, created_at)
VALUES (:id, :owner, :name, :tags, :size, :created_at);

-- name: get_campaign
SELECT * FROM campaigns WHERE id = ?;

-- name: page_of_campaigns
SELECT * FROM campaigns
WHERE (:owner IS NULL OR owner = :owner) AND number < :before
ORDER BY number DESC LIMIT :limit;

-- name: count_members
SELECT status, count(*) FROM experiments WHERE campaign = ? GROUP BY status;

-- name: active_members
SELECT id FROM experiments WHERE campaign = ? AND status IN ('queued', 'running');

-- name: all_members
SELECT id FROM experiments WHERE campaign = ?;

-- name: table_of_members
SELECT id, name, method, status, progress, energy_hartree, started_at, finished_at, reused_from,
       json_extract(error, '$.code') AS error_code,
       (SELECT max(seq) FROM events WHERE experiment_id = experiments.id) AS last_seq,
       json_extract(spec, '$.basis') AS basis,
       json_extract(spec, '$.task.name') AS task,
       json_extract(spec, '$.molecule') AS molecule
FROM experiments WHERE campaign = ? ORDER BY number;

-- name: delete_campaign
DELETE FROM campaigns WHERE id = ?;

-- name: insert_experiment
INSERT INTO experiments (id, name, tags, priority, status, method, spec, spec_hash, attempt, losses,
                         cancel_requested, progress, energy_hartree, error, created_at, started_at,
                         finished_at, reused_from, owner, campaign, estimated_s)
VALUES (:id, :name, :tags, :priority, :status, :method, :spec, :spec_hash, :attempt, :losses,
        :cancel_requested, :progress, :energy_hartree, :error, :created_at, :started_at,
        :finished_at, :reused_from, :owner, :campaign, :estimated_s);

-- name: update_experiment
-- Only what the lifecycle can change; a row never moves back over a newer one because the journal is the only writer.
UPDATE experiments
SET priority = :priority, status = :status, attempt = :attempt, losses = :losses, cancel_requested = :cancel_requested,
    progress = :progress, energy_hartree = :energy_hartree, error = :error,
    started_at = :started_at, finished_at = :finished_at, reused_from = :reused_from, thinned_at = NULL
WHERE id = :id;

-- name: insert_event
INSERT INTO events (experiment_id, seq, body) VALUES (?, ?, ?);

-- name: insert_result
INSERT INTO results (experiment_id, body) VALUES (?, ?);

-- name: insert_key
INSERT INTO idempotency_keys (owner, key, position, body_hash, experiment_id) VALUES (?, ?, ?, ?, ?);

-- name: mark_reusable
UPDATE experiments SET made_with = ? WHERE id = ?;

-- name: find_reusable
-- The newest converged result of equal work, made with the versions that would run now.
SELECT e.id, e.energy_hartree, r.body
FROM experiments AS e JOIN results AS r ON r.experiment_id = e.id
WHERE e.owner = ? AND e.spec_hash = ? AND e.made_with = ?
ORDER BY e.number DESC LIMIT 1;

-- name: get_experiment
SELECT e.*, (SELECT max(seq) FROM events WHERE experiment_id = e.id) AS last_seq
FROM experiments AS e
WHERE e.id = ?;

-- name: active_experiments
-- What a restart has to take up again, in the order of acceptance.
SELECT e.*, (SELECT max(seq) FROM events WHERE experiment_id = e.id) AS last_seq
FROM experiments AS e
WHERE e.status IN ('queued', 'running')
ORDER BY e.number;

-- name: get_result
SELECT body FROM results WHERE experiment_id = ?;

-- name: events_after
SELECT seq, body FROM events WHERE experiment_id = ? AND seq > ? ORDER BY seq LIMIT ?;

-- name: experiments_to_thin
-- An experiment that was retried has no end again until it has one.
SELECT id FROM experiments
WHERE thinned_at IS NULL AND finished_at < ? AND status IN ('completed', 'failed', 'cancelled')
ORDER BY finished_at LIMIT ?;

-- name: delete_events
DELETE FROM events WHERE experiment_id = ? AND seq BETWEEN ? AND ?;

-- name: mark_thinned
UPDATE experiments SET thinned_at = ? WHERE id = ?;

-- name: every_experiment
SELECT e.*, (SELECT max(seq) FROM events WHERE experiment_id = e.id) AS last_seq
FROM experiments AS e
ORDER BY e.number;

-- name: get_key
SELECT body_hash, experiment_id FROM idempotency_keys WHERE owner = ? AND key = ? ORDER BY position;

-- name: delete_experiment
DELETE FROM experiments WHERE id = ?;

-- name: count_by_status
SELECT status, count(*) FROM experiments GROUP BY status;

-- name: get_token
SELECT * FROM tokens WHERE id = ?;

-- name: any_token
SELECT EXISTS (SELECT 1 FROM tokens);

-- name: all_tokens
SELECT * FROM tokens ORDER BY created_at, id;

-- name: insert_token
INSERT INTO tokens (id, name, role, hash, created_at, expires_at)
VALUES (:id, :name, :role, :hash, :created_at, :expires_at);

-- name: revoke_token
UPDATE tokens SET revoked_at = :now WHERE id = :id AND revoked_at IS NULL;

-- name: forget_bad_tokens
DELETE FROM tokens WHERE revoked_at IS NOT NULL OR expires_at <= :now;

-- name: insert_notification
INSERT INTO notifications (id, url, origin, body, tries, created_at, due_at)
VALUES (:id, :url, :origin, :body, :tries, :created_at, :due_at);

-- name: next_notifications
SELECT * FROM notifications WHERE origin = ? ORDER BY due_at LIMIT ?;

-- name: count_notifications
SELECT COUNT(*) FROM notifications;

-- name: forget_notification
DELETE FROM notifications WHERE id = ?;

-- name: postpone_notification
UPDATE notifications SET tries = ?, due_at = ? WHERE id = ?;
