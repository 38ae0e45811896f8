-- Which process drives a run that has not ended, and when it last gave a sign of life. `place` says
-- where `pid` means something, `started` tells the process from a later one with its number.

CREATE TABLE run_drivers (
    run INTEGER PRIMARY KEY,
    place TEXT NOT NULL,
    pid INTEGER NOT NULL,
    started TEXT NOT NULL,
    beat_ns INTEGER NOT NULL,
    -- whether its flow has hooks for when it crashes
    has_hooks INTEGER NOT NULL
);

-- Runs that have crashed and whose hooks for that have not been called: by the next process that
-- knows the flow.

CREATE TABLE due_hooks (
    run INTEGER PRIMARY KEY
);
