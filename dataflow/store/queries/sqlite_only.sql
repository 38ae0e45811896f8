-- What SQLite says in its own words; the rest stands in every_dialect.sql.

-- name: new_batches
-- Numbers for so many batches (the write lock is held).
WITH RECURSIVE numbers (number) AS (
    SELECT 1 UNION ALL SELECT number + 1 FROM numbers WHERE number < ?
)
SELECT number + (SELECT coalesce(max(id), 0) FROM batches) FROM numbers ORDER BY number;

-- name: has_tag
-- A condition on runs: it has a tag, given as JSON.
EXISTS (SELECT 1 FROM json_each(runs.tags) WHERE value = json_extract(?, '$'))

-- name: logs_of_node
-- As `logs` for one node, by its index (SQLite would rather walk all lines than sort a few).
SELECT id, node, element, attempt, timestamp_ns, level, logger, message, task_run_name
FROM logs INDEXED BY logs_by_element WHERE run = ? AND node = ? /*conditions*/
ORDER BY timestamp_ns, sequence, id LIMIT ?;

-- name: logs_after
-- Lines of a run that were stored after a certain one (it walks the ids); more conditions are put in.
SELECT id, node, element, attempt, timestamp_ns, level, logger, message, task_run_name
FROM logs WHERE +run = ? AND id > ? /*conditions*/
ORDER BY id LIMIT ?;

-- name: now_ns
-- The time by the clock of the machine, to a part of a millisecond.
SELECT CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER) * 1000000;

-- name: new_results
-- Numbers for so many rows of results (the write lock is held).
WITH RECURSIVE numbers (number) AS (
    SELECT 1 UNION ALL SELECT number + 1 FROM numbers WHERE number < ?
)
SELECT number + (SELECT coalesce(max(id), 0) FROM results) FROM numbers ORDER BY number;
