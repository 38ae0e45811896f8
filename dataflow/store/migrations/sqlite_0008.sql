-- Limits on how much may go on at once, in all runs and processes of a store together.

CREATE TABLE limits (
    name TEXT PRIMARY KEY,
    slots INTEGER NOT NULL,
    -- slots that become free a second, of a limit on a rate (0: they become free when given back)
    decay REAL NOT NULL,
    active INTEGER NOT NULL,
    created_ns INTEGER NOT NULL,
    -- of a limit on a rate: when its slots will all be free again
    free_ns INTEGER NOT NULL
);

-- Slots that are held (granted), or waited for, of one limit each. Whoever asks for several limits
-- at once has one row for each, with the same `request`. Requests are served in their order.
CREATE TABLE slot_requests (
    request INTEGER NOT NULL,
    name TEXT NOT NULL,
    slots INTEGER NOT NULL,
    granted INTEGER NOT NULL,
    -- until when it holds if its process does not say that it lives
    expires_ns INTEGER NOT NULL,
    place TEXT NOT NULL,
    pid INTEGER NOT NULL,
    started TEXT NOT NULL,
    holder TEXT NOT NULL,
    since_ns INTEGER NOT NULL,
    PRIMARY KEY (request, name)
) WITHOUT ROWID;
CREATE INDEX slot_requests_by_name ON slot_requests (name, request);

-- The number of the last request: those of requests that are gone are never used again.
CREATE TABLE slot_counter (last INTEGER NOT NULL);
INSERT INTO slot_counter VALUES (0);

-- Transactions with a key that were committed, and by which run.
CREATE TABLE transactions (
    key TEXT PRIMARY KEY,
    run_id TEXT NOT NULL,
    committed_ns INTEGER NOT NULL
);
