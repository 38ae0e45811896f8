-- Limits on how much may go on at once, in all runs and processes of a store together.

CREATE TABLE limits (
    name TEXT COLLATE "C" PRIMARY KEY,
    slots BIGINT NOT NULL,
    -- slots that become free a second, of a limit on a rate (0: they become free when given back)
    decay DOUBLE PRECISION NOT NULL,
    active BIGINT NOT NULL,
    created_ns BIGINT NOT NULL,
    -- of a limit on a rate: when its slots will all be free again
    free_ns BIGINT NOT NULL
);

-- Slots that are held (granted), or waited for, of one limit each. Whoever asks for several limits
-- at once has one row for each, with the same `request`. Requests are served in their order.
CREATE TABLE slot_requests (
    request BIGINT NOT NULL,
    name TEXT COLLATE "C" NOT NULL,
    slots BIGINT NOT NULL,
    granted BIGINT NOT NULL,
    -- until when it holds if its process does not say that it lives
    expires_ns BIGINT NOT NULL,
    place TEXT NOT NULL,
    pid BIGINT NOT NULL,
    started TEXT NOT NULL,
    holder TEXT NOT NULL,
    since_ns BIGINT NOT NULL,
    PRIMARY KEY (request, name)
);
CREATE INDEX slot_requests_by_name ON slot_requests (name, request);

-- The number of the last request: those of requests that are gone are never used again.
CREATE TABLE slot_counter (last BIGINT NOT NULL);
INSERT INTO slot_counter VALUES (0);

-- Transactions with a key that were committed, and by which run.
CREATE TABLE transactions (
    key TEXT COLLATE "C" PRIMARY KEY,
    run_id TEXT NOT NULL,
    committed_ns BIGINT NOT NULL
);
