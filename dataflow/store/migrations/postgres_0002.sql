-- Where the time of a run went, and how long the calls of each task took in it.

CREATE TABLE run_timings (
    run BIGINT PRIMARY KEY,
    tracing_ns BIGINT NOT NULL,
    planning_ns BIGINT NOT NULL,
    dispatch_ns BIGINT NOT NULL,
    queue_ns BIGINT NOT NULL,
    compute_ns BIGINT NOT NULL,
    transfer_ns BIGINT NOT NULL,
    recording_ns BIGINT NOT NULL
);

CREATE TABLE task_timings (
    task TEXT NOT NULL,
    ended_ns BIGINT NOT NULL,
    run BIGINT NOT NULL,
    calls BIGINT NOT NULL,
    busy_ns BIGINT NOT NULL,
    PRIMARY KEY (task, ended_ns, run)
);
