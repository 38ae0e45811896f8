-- Where results are kept: one row for what an object of a storage has of one node (or, where `node`
-- is -1, of single calls, whose numbers stand in `elements`; where it is -2, of the flow itself).

CREATE TABLE results (
    id INTEGER PRIMARY KEY,
    run INTEGER NOT NULL,
    node INTEGER NOT NULL,
    -- elements [start, stop), or those that `elements` has (64-bit little-endian integers)
    start INTEGER NOT NULL,
    stop INTEGER NOT NULL,
    -- where each is in the object: from `first` on, or as `numbers` says
    first INTEGER NOT NULL,
    storage TEXT NOT NULL,
    object TEXT NOT NULL,
    serializer TEXT NOT NULL,
    -- the run that made them, where it is another one
    made_by TEXT,
    created_ns INTEGER NOT NULL,
    source BLOB,
    elements BLOB,
    numbers BLOB,
    -- 16 bytes each: the hash of what each call was given
    digests BLOB
);
CREATE INDEX results_by_run ON results (run, node, start);

-- Which result a cache key leads to.

CREATE TABLE cache_keys (
    key BLOB PRIMARY KEY,
    run INTEGER NOT NULL,
    result INTEGER NOT NULL,
    number INTEGER NOT NULL,
    expires_ns INTEGER
) WITHOUT ROWID;
CREATE INDEX cache_keys_by_run ON cache_keys (run);
