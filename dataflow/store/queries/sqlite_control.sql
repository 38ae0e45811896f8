-- The statements by which processes that share a store look after runs and each other.

-- name: put_driver
-- A process drives a run from now on.
INSERT OR REPLACE INTO run_drivers (run, place, pid, started, beat_ns, has_hooks)
VALUES (?, ?, ?, ?, ?, ?);

-- name: drop_driver
-- A run has ended.
DELETE FROM run_drivers WHERE run = ?;

-- name: driver
-- Who drives a run.
SELECT place, pid, started FROM run_drivers WHERE run = ?;

-- name: beat
-- A process lives.
UPDATE run_drivers SET beat_ns = ? WHERE place = ? AND pid = ? AND started = ?;

-- name: drivers
-- All runs that are driven: by whom, and since when there was no sign of life.
SELECT runs.run_id, place, run_drivers.pid, started, beat_ns
FROM run_drivers JOIN runs ON runs.key = run_drivers.run;

-- name: note_due_hooks
-- A run has crashed: if its flow has hooks for that, they are to be called.
INSERT OR IGNORE INTO due_hooks SELECT run FROM run_drivers WHERE run = ? AND has_hooks;

-- name: due_hooks
-- The runs whose hooks are to be called.
SELECT runs.run_id FROM due_hooks JOIN runs ON runs.key = due_hooks.run;

-- name: claim_hooks
-- One process calls the hooks of a run.
DELETE FROM due_hooks WHERE run = ?;

-- name: has_committed
-- Whether a transaction of this key was committed.
SELECT 1 FROM transactions WHERE key = ?;

-- name: note_committed
-- A transaction was committed.
INSERT OR REPLACE INTO transactions (key, run_id, committed_ns) VALUES (?, ?, ?);

-- name: wanted
-- The runs of one process that somebody wants to be cancelled (14) or resumed (20), and what was
-- said then.
SELECT runs.run_id, runs.state_code, runs.state_message
FROM run_drivers JOIN runs ON runs.key = run_drivers.run
WHERE place = ? AND run_drivers.pid = ? AND started = ? AND runs.state_code IN (14, 20);

-- name: undriven_descendants
-- The runs below one that nobody drives by themselves, such as those inside its workers, and that
-- have not ended.
WITH RECURSIVE below (run_id, key, state_type) AS (
    SELECT run_id, key, state_type FROM runs WHERE parent_run_id = ?
    UNION ALL
    SELECT runs.run_id, runs.key, runs.state_type
    FROM runs JOIN below ON runs.parent_run_id = below.run_id
)
SELECT run_id FROM below
WHERE coalesce(state_type, 'PENDING') NOT IN ('COMPLETED', 'FAILED', 'CRASHED', 'CANCELLED')
    AND NOT EXISTS (SELECT 1 FROM run_drivers WHERE run_drivers.run = below.key);
