-- Where results are kept: one row for what an object of a storage has of one node (or, where `node`
-- is -1, of single calls, whose numbers stand in `elements`; where it is -2, of the flow itself).

CREATE SEQUENCE result_numbers;

CREATE TABLE results (
    id BIGINT PRIMARY KEY,
    run BIGINT NOT NULL,
    node BIGINT NOT NULL,
    -- elements [start, stop), or those that `elements` has (64-bit little-endian integers)
    start BIGINT NOT NULL,
    stop BIGINT NOT NULL,
    -- where each is in the object: from `first` on, or as `numbers` says
    first BIGINT NOT NULL,
    storage TEXT NOT NULL,
    object TEXT NOT NULL,
    serializer TEXT NOT NULL,
    -- the run that made them, where it is another one
    made_by TEXT,
    created_ns BIGINT NOT NULL,
    source BYTEA,
    elements BYTEA,
    numbers BYTEA,
    -- 16 bytes each: the hash of what each call was given
    digests BYTEA
);
CREATE INDEX results_by_run ON results (run, node, start);

-- Which result a cache key leads to.

CREATE TABLE cache_keys (
    key BYTEA PRIMARY KEY,
    run BIGINT NOT NULL,
    result BIGINT NOT NULL,
    number BIGINT NOT NULL,
    expires_ns BIGINT
);
CREATE INDEX cache_keys_by_run ON cache_keys (run);
