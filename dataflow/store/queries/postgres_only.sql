-- What PostgreSQL says in its own words; the rest stands in every_dialect.sql.

-- name: begin_write
-- The number of the open transaction, and the version of the schema.
SELECT pg_current_xact_id()::text, (SELECT version FROM dataflow_schema);

-- name: fate_of_write
-- What became of a transaction whose commit nobody answered: committed, aborted, or in progress.
SELECT pg_xact_status(?::text::xid8);

-- name: hold_lanes
-- Waits until no other transaction holds any of some lanes of this schema.
SELECT pg_advisory_xact_lock(1684433015, hashtext(current_schema()) # lane)
FROM unnest(?::integer[]) AS lane;

-- name: hold_schema
-- Waits until nobody else makes, or migrates, the schema of a name.
SELECT pg_advisory_xact_lock(1684433015, hashtext(?));

-- name: new_batches
-- Numbers for so many batches.
SELECT nextval('batch_numbers') FROM generate_series(1, ?);

-- name: has_tag
-- A condition on runs: it has a tag, given as JSON (compared as such: JSON has text that text cannot
-- be).
EXISTS (SELECT 1 FROM json_array_elements(runs.tags::json) AS tag WHERE tag::text = ?)

-- name: logs_of_node
-- As `logs` for one node.
SELECT id, node, element, attempt, timestamp_ns, level, logger, message, task_run_name
FROM logs WHERE run = ? AND node = ? /*conditions*/
ORDER BY timestamp_ns, sequence, id LIMIT ?;

-- name: logs_after
-- Lines of a run that were stored after a certain one; more conditions are put in.
SELECT id, node, element, attempt, timestamp_ns, level, logger, message, task_run_name
FROM logs WHERE run = ? AND id > ? /*conditions*/
ORDER BY id LIMIT ?;

-- name: schema_objects
-- How many tables the schema has, and how many of them tell that it is ours.
SELECT count(*), count(*) FILTER (WHERE tablename = 'dataflow_schema')
FROM pg_catalog.pg_tables WHERE schemaname = current_schema();

-- name: schema_version
-- The version of the schema that is there.
SELECT version FROM dataflow_schema;

-- name: set_schema_version
-- Remembers the version that the migrations have led to.
UPDATE dataflow_schema SET version = ?;

-- name: has_schema
-- Whether there is a schema of that name, that we can see.
SELECT 1 FROM pg_catalog.pg_namespace WHERE nspname = ?;

-- name: schema_bytes
-- What all tables of the schema and their indexes take.
SELECT coalesce(sum(pg_total_relation_size(pg_class.oid)), 0)::bigint
FROM pg_catalog.pg_class JOIN pg_catalog.pg_namespace ON pg_namespace.oid = relnamespace
WHERE nspname = current_schema() AND relkind = 'r';

-- name: now_ns
-- The time by the clock of the server, also in the middle of a transaction.
SELECT CAST(extract(epoch FROM clock_timestamp()) * 1000000 AS BIGINT) * 1000;

-- name: snapshot
-- Which transactions can be seen: it is another one after any of them that writes.
SELECT pg_current_snapshot()::text;

-- name: new_results
-- Numbers for so many rows of results.
SELECT nextval('result_numbers') FROM generate_series(1, ?);
