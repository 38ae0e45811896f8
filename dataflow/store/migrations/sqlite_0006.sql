-- What runs show to people: one row for each version of an artifact. `run` is the key of the run
-- that made it; artifacts that were made outside runs have none.

CREATE TABLE artifacts (
    id INTEGER PRIMARY KEY,
    artifact_id TEXT NOT NULL UNIQUE,
    key TEXT,
    version INTEGER NOT NULL,
    type TEXT NOT NULL,
    description TEXT,
    run INTEGER,
    node INTEGER,
    element INTEGER,
    attempt INTEGER NOT NULL,
    created_ns INTEGER NOT NULL,
    updated_ns INTEGER NOT NULL,
    -- last, because it may be long and listings must not read past it
    data_json TEXT NOT NULL
);
CREATE INDEX artifacts_by_key ON artifacts (key, version) WHERE key IS NOT NULL;
CREATE INDEX artifacts_by_run ON artifacts (run) WHERE run IS NOT NULL;

-- Values that programs share by name.

CREATE TABLE variables (
    name TEXT PRIMARY KEY,
    value_json TEXT NOT NULL,
    tags TEXT NOT NULL,
    created_ns INTEGER NOT NULL,
    updated_ns INTEGER NOT NULL
) WITHOUT ROWID;
