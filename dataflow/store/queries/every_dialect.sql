-- The statements that every database understands. Each begins with a line `-- name: ...` and says
-- its purpose; `?` is a value, and `/*name*/` the place of what is put in.

-- name: put_run
-- A run begins; sent again it replaces what is there, but for its state.
INSERT INTO runs (
    key, run_id, flow_name, name, tags, parent_run_id, parent_node, runner, flow_version,
    created_ns, pid, host, code_path, deployment, parameters_json, hooks
) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (key) DO UPDATE SET
    flow_name = excluded.flow_name, name = excluded.name, tags = excluded.tags,
    parent_run_id = excluded.parent_run_id, parent_node = excluded.parent_node,
    runner = excluded.runner, flow_version = excluded.flow_version,
    created_ns = excluded.created_ns, pid = excluded.pid, host = excluded.host,
    code_path = excluded.code_path, deployment = excluded.deployment,
    parameters_json = excluded.parameters_json, hooks = excluded.hooks;

-- name: first_run_start
-- When a run first was Running (3) or Retrying (4).
SELECT min(timestamp_ns) FROM run_states WHERE run = ? AND code IN (3, 4);

-- name: set_run_state
-- Copies the latest state of a run to where listings look.
UPDATE runs SET
    state_code = ?, state_type = ?, state_name = ?, state_message = ?, state_ns = ?, run_count = ?,
    started_ns = ?, ended_ns = ?
WHERE key = ?;

-- name: latest_run_state
-- The state that a run is in.
SELECT code, name, message, timestamp_ns, run_count FROM run_states
WHERE run = ? ORDER BY id DESC LIMIT 1;

-- name: put_run_timing
-- Where the time of a run went.
INSERT INTO run_timings (
    run, tracing_ns, planning_ns, dispatch_ns, queue_ns, compute_ns, transfer_ns, recording_ns
) VALUES (?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (run) DO UPDATE SET
    tracing_ns = excluded.tracing_ns, planning_ns = excluded.planning_ns,
    dispatch_ns = excluded.dispatch_ns, queue_ns = excluded.queue_ns,
    compute_ns = excluded.compute_ns, transfer_ns = excluded.transfer_ns,
    recording_ns = excluded.recording_ns;

-- name: run_timing
-- The same, read.
SELECT tracing_ns, planning_ns, dispatch_ns, queue_ns, compute_ns, transfer_ns, recording_ns
FROM run_timings WHERE run = ?;

-- name: put_task_timing
-- How long the calls of a task took in a run.
INSERT INTO task_timings (task, ended_ns, run, calls, busy_ns) VALUES (?, ?, ?, ?, ?)
ON CONFLICT (task, ended_ns, run) DO UPDATE SET calls = excluded.calls, busy_ns = excluded.busy_ns;

-- name: task_timings
-- The same of the last runs that had calls of a task.
SELECT calls, busy_ns FROM task_timings WHERE task = ? ORDER BY ended_ns DESC LIMIT ?;

-- name: task_timings_in_flow
-- The same of the last runs of one flow.
SELECT calls, busy_ns FROM task_timings JOIN runs ON runs.key = task_timings.run
WHERE task = ? AND flow_name = ? ORDER BY task_timings.ended_ns DESC LIMIT ?;

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
SELECT code, name, message, timestamp_ns, run_count FROM run_states WHERE run = ? ORDER BY id;

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
SELECT id, stages, nodes, states FROM batches WHERE id = ?;

-- name: single_calls
-- The states of all single calls of a run, in the order of writing.
SELECT id, stages, nodes, states
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

-- name: runs_ended
-- When runs ended, of those that have: asked again before they are removed; which, is put in.
SELECT key, ended_ns FROM runs WHERE ended_ns IS NOT NULL /*conditions*/;

-- name: find_run_ended
-- When a run ended, if it has: then it computes nothing any more.
SELECT ended_ns FROM runs WHERE key = ?;

-- name: put_cache_key
-- Which result a cache key leads to from now on.
INSERT INTO cache_keys (key, run, result, number, expires_ns) VALUES (?, ?, ?, ?, ?)
ON CONFLICT (key) DO UPDATE SET
    run = excluded.run, result = excluded.result, number = excluded.number,
    expires_ns = excluded.expires_ns;

-- name: drop_cache_key
-- A key leads to a result of a run no more.
DELETE FROM cache_keys WHERE key = ? AND run = ?;

-- name: drop_cache_keys
-- No key leads to the results of some runs any more; which, is put in.
DELETE FROM cache_keys /*conditions*/;

-- name: cache_key_ahead
-- The key so many places after another one.
SELECT key FROM cache_keys WHERE key > ? ORDER BY key LIMIT 1 OFFSET ?;

-- name: gone_cache_key
-- Whether any key after another one is of a run that is gone; up to where, is put in.
SELECT 1 FROM cache_keys
WHERE key > ? AND NOT EXISTS (SELECT 1 FROM runs WHERE runs.key = cache_keys.run) /*conditions*/
LIMIT 1;

-- name: sweep_cache_keys
-- The keys of runs that are gone go too; up to where, is put in.
DELETE FROM cache_keys
WHERE key > ? AND NOT EXISTS (SELECT 1 FROM runs WHERE runs.key = cache_keys.run) /*conditions*/;

-- name: results
-- Where the results of a run are, in the order of writing.
SELECT node, start, stop, first, storage, object, serializer, made_by, created_ns, source, elements,
    numbers, digests
FROM results WHERE run = ? ORDER BY id;

-- name: any_results
-- Whether some runs have results; which, is put in.
SELECT 1 FROM results /*conditions*/ LIMIT 1;

-- name: results_around
-- The rows that may have one element (or, under node -1, one single call), the newest first.
SELECT node, start, stop, first, storage, object, serializer, made_by, created_ns, source, elements,
    numbers, digests
FROM results WHERE run = ? AND node = ? AND start <= ? AND stop > ? ORDER BY id DESC;

-- name: cached_results
-- Which results cache keys lead to, as far as they may still be taken; the keys are put in.
SELECT key, run, result, number FROM cache_keys
WHERE (expires_ns IS NULL OR expires_ns > ?) /*conditions*/;

-- name: result_object
-- The object that a row of results of a run is about, and the run that made it; nothing if that run
-- was removed (its rows may have their numbers from another one by now).
SELECT storage, object, serializer, coalesce(made_by, run_id)
FROM results JOIN runs ON runs.key = results.run WHERE id = ? AND results.run = ?;

-- name: take_lease
-- A run begins to compute what a key leads to, if nobody else does.
INSERT INTO key_leases (key, holder, expires_ns) VALUES (?, ?, ?)
ON CONFLICT (key) DO UPDATE SET holder = excluded.holder, expires_ns = excluded.expires_ns
WHERE key_leases.expires_ns < ? RETURNING 1;

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

-- name: old_runs
-- Runs that ended before a moment, oldest first, but for those that a later run is above.
WITH RECURSIVE kept (run_id) AS (
    SELECT run_id FROM runs WHERE ended_ns IS NULL OR ended_ns >= ?
    UNION
    SELECT runs.run_id FROM runs JOIN kept ON runs.parent_run_id = kept.run_id
)
SELECT runs.key, runs.run_id FROM runs LEFT JOIN kept ON kept.run_id = runs.run_id
WHERE created_ns < ? AND kept.run_id IS NULL ORDER BY created_ns, runs.key;

-- name: run_keys
-- All runs, oldest first.
SELECT key, run_id FROM runs ORDER BY created_ns, key;

-- name: count_run_types
-- How many runs are in states of which type.
SELECT coalesce(state_type, 'PENDING'), count(*) FROM runs GROUP BY 1 ORDER BY 1;

-- name: first_and_last_run
-- When the oldest and the newest run were made.
SELECT min(created_ns), max(created_ns) FROM runs;

-- name: count_calls
-- How many batches there are, and how many calls are in them.
SELECT count(*), coalesce(sum(count), 0) FROM batches;

-- name: count_logs
-- How many log lines there are.
SELECT count(*) FROM logs;

-- name: last_artifact_version
-- The version of the last artifact of a key; 0: there is none.
SELECT coalesce(max(version), 0) FROM artifacts WHERE key = ?;

-- name: add_artifact
-- An artifact; sent again it changes nothing.
INSERT INTO artifacts (
    artifact_id, key, version, type, description, run, node, element, attempt, created_ns,
    updated_ns, data_json
) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (artifact_id) DO NOTHING;

-- name: update_artifact
-- An artifact shows something else; what was said later stays, whatever comes first.
UPDATE artifacts SET data_json = ?, description = coalesce(?, description), updated_ns = ?
WHERE artifact_id = ? AND updated_ns <= ?;

-- name: find_artifacts
-- Artifacts, those stored last first; the conditions are put in by artifact_rows.py.
SELECT artifact_id, artifacts.key, version, type, description, runs.run_id, node, element, attempt,
    artifacts.created_ns, updated_ns, data_json
FROM artifacts LEFT JOIN runs ON runs.key = artifacts.run /*conditions*/
ORDER BY id DESC LIMIT ? OFFSET ?;

-- name: count_artifacts
-- How many artifacts there are with certain conditions.
SELECT count(*) FROM artifacts /*conditions*/;

-- name: delete_artifacts
-- Artifacts go; the conditions are put in.
DELETE FROM artifacts /*conditions*/;

-- name: variable
-- One variable.
SELECT name, value_json, tags, created_ns, updated_ns FROM variables WHERE name = ?;

-- name: variables
-- All variables by name.
SELECT name, value_json, tags, created_ns, updated_ns FROM variables ORDER BY name;

-- name: put_variable
-- A variable, whether it is there or not.
INSERT INTO variables (name, value_json, tags, created_ns, updated_ns) VALUES (?, ?, ?, ?, ?)
ON CONFLICT (name) DO UPDATE SET
    value_json = excluded.value_json, tags = excluded.tags, updated_ns = excluded.updated_ns;

-- name: delete_variable
-- A variable goes.
DELETE FROM variables WHERE name = ?;

-- name: put_driver
-- A process drives a run from now on.
INSERT INTO run_drivers (run, place, pid, started, beat_ns) VALUES (?, ?, ?, ?, ?)
ON CONFLICT (run) DO UPDATE SET
    place = excluded.place, pid = excluded.pid, started = excluded.started,
    beat_ns = excluded.beat_ns;

-- name: drop_driver
-- Nobody drives a run any more.
DELETE FROM run_drivers WHERE run = ?;

-- name: drop_driver_of_ended
-- The same of a run that has ended, once none of its own hooks is to be called any more.
DELETE FROM run_drivers WHERE run = ?
AND EXISTS (SELECT 1 FROM runs WHERE key = run_drivers.run AND ended_ns IS NOT NULL)
AND NOT EXISTS (SELECT 1 FROM due_hooks WHERE due_hooks.run = run_drivers.run AND node = -1);

-- name: drop_own_driver
-- A process does not drive a run after all.
DELETE FROM run_drivers WHERE run = ? AND place = ? AND pid = ? AND started = ?;

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
-- A run has entered a state: if its flow has hooks for that, they are to be called.
INSERT INTO due_hooks (run, number, node, start, stop, code, attempt, called)
SELECT key, state_ns, -1, -1, 0, state_code, run_count, 0 FROM runs
WHERE key = ? AND hooks & ? <> 0;

-- name: runs_with_due_hooks
-- The runs that nobody drives and whose hooks are to be called, their own or those of their tasks.
SELECT run_id FROM runs
WHERE key IN (SELECT run FROM due_hooks WHERE run NOT IN (SELECT run FROM run_drivers));

-- name: due_hooks
-- The hooks of a run that are to be called, in the order of the states.
SELECT number, node, start, stop, code, attempt, called
FROM due_hooks WHERE run = ? ORDER BY number;

-- name: claim_hook
-- One process calls one hook, if that is the next one; others remain.
UPDATE due_hooks SET start = ?, called = ?
WHERE run = ? AND number = ? AND start = ? AND called = ? RETURNING 1;

-- name: claim_last_hook
-- The same of the last one.
DELETE FROM due_hooks
WHERE run = ? AND number = ? AND start = ? AND called = ? RETURNING 1;

-- name: transaction_values
-- What the task runs of a run have set in transactions.
SELECT node, element, name, value FROM transaction_values WHERE run = ? ORDER BY id;

-- name: committed_nodes
-- The nodes of a run whose task runs were committed, and until when they had been made.
SELECT node, committed_ns FROM committed_nodes WHERE run = ? ORDER BY id;

-- name: has_committed
-- Whether a transaction of this key was committed.
SELECT 1 FROM transactions WHERE key = ?;

-- name: note_committed
-- A transaction was committed.
INSERT INTO transactions (key, run_id, committed_ns) VALUES (?, ?, ?)
ON CONFLICT (key) DO UPDATE SET run_id = excluded.run_id, committed_ns = excluded.committed_ns;

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

-- name: create_limit
-- Makes a limit.
INSERT INTO limits (name, slots, decay, active, created_ns, free_ns) VALUES (?, ?, ?, ?, ?, 0);

-- name: change_limit
-- Changes what is given of a limit.
UPDATE limits SET
    slots = coalesce(?, slots), decay = coalesce(?, decay), active = coalesce(?, active)
WHERE name = ?;

-- name: delete_limit
-- Removes a limit.
DELETE FROM limits WHERE name = ?;

-- name: delete_requests
-- Nobody asks for slots of a limit any more.
DELETE FROM slot_requests WHERE name = ?;

-- name: limits
-- All limits, with the slots that are held and the requests that wait.
SELECT limits.name, limits.slots, decay, active, created_ns, free_ns,
    CAST(coalesce(sum(slot_requests.slots) FILTER (WHERE granted = 1), 0) AS BIGINT),
    count(*) FILTER (WHERE granted = 0)
FROM limits LEFT JOIN slot_requests ON slot_requests.name = limits.name
GROUP BY limits.name ORDER BY limits.name;

-- name: limit
-- One limit.
SELECT name, slots, decay, active, created_ns, free_ns FROM limits WHERE name = ?;

-- name: tag_limits
-- The limits on tags that limit anything at present.
SELECT name FROM limits WHERE name >= 'tag:' AND name < 'tag;' AND active = 1;

-- name: requests
-- What is held and waited for of a limit, in the order of asking.
SELECT request, slots, granted, expires_ns, place, pid, started, holder, since_ns
FROM slot_requests WHERE name = ? ORDER BY request;

-- name: request
-- What one request asks for.
SELECT name, slots, granted FROM slot_requests WHERE request = ?;

-- name: count_request
-- There is another request.
UPDATE slot_counter SET last = last + 1;

-- name: last_request
-- The number of the last request.
SELECT last FROM slot_counter;

-- name: add_request
-- Somebody asks for slots.
INSERT INTO slot_requests (
    request, name, slots, granted, expires_ns, place, pid, started, holder, since_ns
) VALUES (?, ?, ?, 0, ?, ?, ?, ?, ?, ?);

-- name: grant
-- A request holds its slots.
UPDATE slot_requests SET granted = 1, since_ns = ? WHERE request = ?;

-- name: drop_request
-- A request is over.
DELETE FROM slot_requests WHERE request = ?;

-- name: renew
-- The process of a request lives.
UPDATE slot_requests SET expires_ns = ? WHERE request = ?;

-- name: take_rate
-- Slots of a limit on a rate are taken: it will be free later.
UPDATE limits SET free_ns = ? WHERE name = ?;

-- name: drop_results
-- The runs that made what some runs have results of may have left results that nobody names; which
-- runs, is put in.
INSERT INTO dropped_results (storage, run_id, dropped_ns)
SELECT DISTINCT results.storage, coalesce(results.made_by, runs.run_id), CAST(? AS BIGINT)
FROM results JOIN runs ON runs.key = results.run WHERE TRUE /*conditions*/
ON CONFLICT (storage, run_id) DO UPDATE SET dropped_ns = excluded.dropped_ns;

-- name: drop_unrecorded_results
-- The same of what they may have left in the storage of the settings without recording it.
INSERT INTO dropped_results (storage, run_id, dropped_ns)
SELECT '', run_id, CAST(? AS BIGINT) FROM runs WHERE TRUE /*conditions*/
ON CONFLICT (storage, run_id) DO UPDATE SET dropped_ns = excluded.dropped_ns;

-- name: dropped_results
-- Those dropped before a moment: so long ago that nobody can take them any more (the second moment),
-- or when none of the runs that go on now had begun, or was about to (within so many nanoseconds).
SELECT storage, run_id FROM dropped_results
WHERE dropped_ns <= ? AND (
    dropped_ns < ?
    OR NOT EXISTS (
        SELECT 1 FROM run_drivers JOIN runs ON runs.key = run_drivers.run
        WHERE created_ns < dropped_ns + ?
    )
) ORDER BY storage, run_id;

-- name: results_by_maker
-- The objects of one storage with results of a run that other runs have taken.
SELECT DISTINCT object FROM results WHERE made_by = ? AND storage = ?;

-- name: forget_dropped
-- The results of a run in one storage are gone, or named again.
DELETE FROM dropped_results WHERE storage = ? AND run_id = ?;

-- name: run_is_there
-- Whether there is a run.
SELECT 1 FROM runs WHERE key = ?;
