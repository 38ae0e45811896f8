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

-- How long the calls of each task took in a run, for whoever plans another.

CREATE TABLE task_timings (
    task TEXT NOT NULL,
    ended_ns INTEGER NOT NULL,
    run INTEGER NOT NULL,
    calls INTEGER NOT NULL,
    busy_ns INTEGER NOT NULL,
    PRIMARY KEY (task, ended_ns, run)
) WITHOUT ROWID;
