-- Which process drives a run that has not ended, and when it last gave a sign of life. `place` says
-- where `pid` means something, `started` tells the process from a later one with its number.

CREATE TABLE run_drivers (
    run BIGINT PRIMARY KEY,
    place TEXT NOT NULL,
    pid BIGINT NOT NULL,
    started TEXT NOT NULL,
    beat_ns BIGINT NOT NULL,
    -- whether its flow has hooks for when it crashes
    has_hooks BIGINT NOT NULL
);

-- Runs that have crashed and whose hooks for that have not been called: by the next process that
-- knows the flow.

CREATE TABLE due_hooks (
    run BIGINT PRIMARY KEY
);
