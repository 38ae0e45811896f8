-- Who computes what a cache key leads to, where only one at a time shall.

CREATE TABLE key_leases (
    key BYTEA PRIMARY KEY,
    holder TEXT NOT NULL,
    expires_ns BIGINT NOT NULL
);
CREATE INDEX key_leases_by_holder ON key_leases (holder);
