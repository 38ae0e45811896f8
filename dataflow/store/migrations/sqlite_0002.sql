-- Where the time of a run went, written when it ends: one row a run. Runs that were recorded before
-- this table was there, or whose process was killed, have none.

CREATE TABLE run_timings (
    run INTEGER PRIMARY KEY,
    tracing_ns INTEGER NOT NULL,
    planning_ns INTEGER NOT NULL,
    dispatch_ns INTEGER NOT NULL,
    queue_ns INTEGER NOT NULL,
    compute_ns INTEGER NOT NULL,
    transfer_ns INTEGER NOT NULL,
    recording_ns INTEGER NOT NULL
);
