-- The statements of the SQLite store. Each begins with a line `-- name: ...` and says its purpose.

-- name: put_run
-- A run begins; sent again it replaces what is there, but for its state.
INSERT INTO runs (
    key, run_id, flow_name, name, tags, parent_run_id, parent_node, runner, flow_version,
    created_ns, pid, host, code_path, deployment, parameters_json
) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (key) DO UPDATE SET
    flow_name = excluded.flow_name, name = excluded.name, tags = excluded.tags,
    parent_run_id = excluded.parent_run_id, parent_node = excluded.parent_node,
    runner = excluded.runner, flow_version = excluded.flow_version,
    created_ns = excluded.created_ns, pid = excluded.pid, host = excluded.host,
    code_path = excluded.code_path, deployment = excluded.deployment,
    parameters_json = excluded.parameters_json;

-- name: add_run_state
-- A run enters a state.
INSERT INTO run_states (run, code, name, message, timestamp_ns, run_count)
VALUES (?, ?, ?, ?, ?, ?);

-- name: first_run_start
-- When a run first was Running (3) or Retrying (4).
SELECT min(timestamp_ns) FROM run_states WHERE run = ? AND code IN (3, 4);

-- name: set_run_state
-- Copies the latest state of a run to where listings look.
UPDATE runs SET
    state_code = :code, state_type = :type, state_name = :name, state_message = :message,
    state_ns = :timestamp_ns, run_count = :run_count, started_ns = :started_ns,
    ended_ns = :ended_ns
WHERE key = :run;

-- name: latest_run_state
-- The state that a run is in.
SELECT code, name, message, timestamp_ns, run_count FROM run_states
WHERE run = ? ORDER BY id DESC LIMIT 1;

-- name: add_node_chunk
-- Nodes that were added or changed, packed.
INSERT INTO node_chunks (run, first_node, last_node, columns) VALUES (?, ?, ?, ?);

-- name: last_batch
-- The number of the newest batch (the next ones follow it; the write lock is held).
SELECT coalesce(max(id), 0) FROM batches;

-- name: add_batch
-- What came of one batch, in columns.
INSERT INTO batches (
    id, run, stages, start, count, worker, clock_offset_ns, first_started_ns,
    states, attempts, nodes, started, ended
) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?);

-- name: add_span
-- Where the elements of a batch are to be found.
INSERT INTO spans (batch, run, node, start, stop, counts) VALUES (?, ?, ?, ?, ?, ?);

-- name: add_attempt
-- An attempt with something to tell.
INSERT INTO attempts (
    run, node, element, attempt, code, name, message, exception_type, started_ns, ended_ns,
    worker, traceback, exception
) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?);

-- name: add_log
-- A line that a run logged.
INSERT INTO logs (
    run, node, element, attempt, timestamp_ns, level, logger, message, task_run_name, sequence
) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?);

-- name: put_run_timing
-- Where the time of a run went.
INSERT OR REPLACE INTO run_timings (
    run, tracing_ns, planning_ns, dispatch_ns, queue_ns, compute_ns, transfer_ns, recording_ns
) VALUES (?, ?, ?, ?, ?, ?, ?, ?);

-- name: run_timing
-- The same, read.
SELECT tracing_ns, planning_ns, dispatch_ns, queue_ns, compute_ns, transfer_ns, recording_ns
FROM run_timings WHERE run = ?;

-- name: put_task_timing
-- How long the calls of a task took in a run.
INSERT OR REPLACE INTO task_timings (task, ended_ns, run, calls, busy_ns) VALUES (?, ?, ?, ?, ?);

-- name: task_timings
-- The same of the last runs that had calls of a task.
SELECT calls, busy_ns FROM task_timings WHERE task = ? ORDER BY ended_ns DESC LIMIT ?;

-- name: find_runs
-- Runs, newest first; the conditions are put in by run_filters.py.
SELECT run_id, flow_name, name, parameters_json, tags, parent_run_id, parent_node, runner,
    flow_version, created_ns, pid, host, code_path, deployment, state_code, state_name,
    state_message, state_ns, run_count, started_ns, ended_ns
FROM runs /*conditions*/
ORDER BY created_ns DESC, key DESC LIMIT ? OFFSET ?;

-- name: count_runs
-- How many runs a listing would have without its limit.
SELECT count(*) FROM runs /*conditions*/;

-- name: runs_like
-- Id, name and flow of runs that go by some text; the conditions are put in.
SELECT run_id, name, flow_name FROM runs /*conditions*/
ORDER BY created_ns DESC, key DESC LIMIT 9;

-- name: recent_run_names
-- Names to compare with one that was not found.
SELECT name, flow_name FROM runs ORDER BY created_ns DESC LIMIT 2000;

-- name: run_states
-- All states of a run, in the order in which it entered them.
SELECT code, name, message, timestamp_ns FROM run_states WHERE run = ? ORDER BY id;

-- name: node_chunks
-- All nodes of a run, packed, in the order of writing.
SELECT columns FROM node_chunks WHERE run = ? ORDER BY id;

-- name: node_chunks_around
-- The chunks that may hold one node.
SELECT columns FROM node_chunks WHERE run = ? AND first_node <= ? AND last_node >= ? ORDER BY id;

-- name: spans
-- Which batches hold what of a run.
SELECT node, start, stop, batch, counts FROM spans WHERE run = ? ORDER BY node, start, batch;

-- name: spans_of_node
-- Which batches hold what of one node.
SELECT node, start, stop, batch, counts FROM spans
WHERE run = ? AND node = ? ORDER BY start, batch;

-- name: spans_around
-- Which batches hold one element, or may hold one single call (node -1).
SELECT batch FROM spans WHERE run = ? AND node = ? AND start <= ? AND stop > ?;

-- name: batch_states
-- The states in one batch, without its times.
SELECT id, stages, nodes, states, attempts FROM batches WHERE id = ?;

-- name: single_calls
-- The states of all single calls of a run, in the order of writing.
SELECT id, stages, nodes, states, attempts
FROM spans JOIN batches ON batches.id = spans.batch
WHERE spans.run = ? AND spans.node = -1 ORDER BY id;

-- name: batch
-- One batch, whole.
SELECT id, stages, nodes, states, attempts, start, worker, clock_offset_ns, first_started_ns,
    started, ended
FROM batches WHERE id = ?;

-- name: batches
-- All batches of a run.
SELECT id, stages, nodes, states, attempts, start, worker, clock_offset_ns, first_started_ns,
    started, ended
FROM batches WHERE run = ? ORDER BY id;

-- name: attempts
-- The attempts at one element that have something to tell.
SELECT attempt, code, name, message, exception_type, started_ns, ended_ns, worker, traceback,
    exception
FROM attempts WHERE run = ? AND node = ? AND element = ? ORDER BY id;

-- name: logs
-- Lines of a run in the order of time; more conditions are put in.
SELECT id, node, element, attempt, timestamp_ns, level, logger, message, task_run_name
FROM logs WHERE run = ? /*conditions*/
ORDER BY timestamp_ns, sequence, id LIMIT ?;

-- name: logs_of_node
-- The same for one node, by its index (SQLite would rather walk all lines than sort a few).
SELECT id, node, element, attempt, timestamp_ns, level, logger, message, task_run_name
FROM logs INDEXED BY logs_by_element WHERE run = ? AND node = ? /*conditions*/
ORDER BY timestamp_ns, sequence, id LIMIT ?;

-- name: logs_after
-- Lines of a run that were stored after a certain one; more conditions are put in.
SELECT id, node, element, attempt, timestamp_ns, level, logger, message, task_run_name
FROM logs WHERE +run = ? AND id > ? /*conditions*/
ORDER BY id LIMIT ?;

-- name: last_result
-- The number of the newest row of results (the next ones follow it; the write lock is held).
SELECT coalesce(max(id), 0) FROM results;

-- name: add_result
-- Where results are kept.
INSERT INTO results (
    id, run, node, start, stop, first, storage, object, serializer, made_by, created_ns, source,
    elements, numbers, digests
) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?);

-- name: put_cache_key
-- Which result a cache key leads to from now on.
INSERT OR REPLACE INTO cache_keys (key, result, number, expires_ns) VALUES (?, ?, ?, ?);

-- name: results
-- Where the results of a run are, in the order of writing.
SELECT node, start, stop, first, storage, object, serializer, made_by, source, elements, numbers,
    digests
FROM results WHERE run = ? ORDER BY id;

-- name: results_around
-- The rows that may have one element (or, under node -1, one single call), the newest first.
SELECT node, start, stop, first, storage, object, serializer, made_by, source, elements, numbers,
    digests
FROM results WHERE run = ? AND node = ? AND start <= ? AND stop > ? ORDER BY id DESC;

-- name: cached_results
-- Which results cache keys lead to, as far as they may still be taken; the keys are put in.
SELECT key, result, number FROM cache_keys
WHERE key IN (/*keys*/) AND (expires_ns IS NULL OR expires_ns > ?);

-- name: result_object
-- The object that a row of results is about, and the run that made it.
SELECT storage, object, serializer, coalesce(made_by, run_id)
FROM results JOIN runs ON runs.key = results.run WHERE id = ?;

-- name: take_lease
-- A run begins to compute what a key leads to, if nobody else does.
INSERT INTO key_leases (key, holder, expires_ns) VALUES (?, ?, ?)
ON CONFLICT (key) DO UPDATE SET holder = excluded.holder, expires_ns = excluded.expires_ns
WHERE key_leases.expires_ns < ?;

-- name: renew_leases
-- A run goes on with what it computes.
UPDATE key_leases SET expires_ns = ? WHERE holder = ?;

-- name: drop_lease
-- Nobody computes what a key leads to any more.
DELETE FROM key_leases WHERE key = ?;

-- name: drop_leases
-- A run computes nothing any more.
DELETE FROM key_leases WHERE holder = ?;

-- name: any_lease
-- Whether anyone has a lease.
SELECT 1 FROM key_leases LIMIT 1;
