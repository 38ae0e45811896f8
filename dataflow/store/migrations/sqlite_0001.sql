-- Runs, their nodes, batches, attempts and logs.
-- `run` is the 63-bit key of a run id (see run_keys.py); the rows of a run need no foreign key,
-- so that the order in which records arrive does not matter.

CREATE TABLE runs (
    key INTEGER PRIMARY KEY,
    run_id TEXT NOT NULL UNIQUE,
    flow_name TEXT NOT NULL,
    name TEXT NOT NULL,
    tags TEXT NOT NULL,
    parent_run_id TEXT,
    parent_node INTEGER,
    runner TEXT NOT NULL,
    flow_version TEXT,
    created_ns INTEGER NOT NULL,
    pid INTEGER NOT NULL,
    host TEXT NOT NULL,
    code_path TEXT,
    deployment TEXT,
    -- the latest row of run_states, kept here for listings
    state_code INTEGER,
    state_type TEXT,
    state_name TEXT,
    state_ns INTEGER,
    run_count INTEGER,
    started_ns INTEGER,
    ended_ns INTEGER,
    state_message TEXT,
    -- last, because it may be long and listings must not read past it
    parameters_json TEXT NOT NULL
);
CREATE INDEX runs_by_time ON runs (created_ns);
CREATE INDEX runs_by_flow ON runs (flow_name, created_ns);
CREATE INDEX runs_by_name ON runs (name, created_ns);
CREATE INDEX runs_by_state_type ON runs (state_type, created_ns);
CREATE INDEX runs_by_state_name ON runs (state_name, created_ns);
CREATE INDEX runs_by_parent ON runs (parent_run_id, created_ns) WHERE parent_run_id IS NOT NULL;

CREATE TABLE run_states (
    id INTEGER PRIMARY KEY,
    run INTEGER NOT NULL,
    code INTEGER NOT NULL,
    name TEXT NOT NULL,
    message TEXT,
    timestamp_ns INTEGER NOT NULL,
    run_count INTEGER NOT NULL
);
CREATE INDEX run_states_by_run ON run_states (run);

-- Nodes, some thousands a row: added, or changed afterwards. Later rows win.
CREATE TABLE node_chunks (
    id INTEGER PRIMARY KEY,
    run INTEGER NOT NULL,
    first_node INTEGER NOT NULL,
    last_node INTEGER NOT NULL,
    columns BLOB NOT NULL
);
CREATE INDEX node_chunks_by_run ON node_chunks (run, first_node, last_node);

-- One row a batch. `states` and `attempts` come before the times: counting reads no further.
CREATE TABLE batches (
    id INTEGER PRIMARY KEY,
    run INTEGER NOT NULL,
    stages BLOB,
    start INTEGER NOT NULL,
    count INTEGER NOT NULL,
    worker TEXT NOT NULL,
    clock_offset_ns INTEGER NOT NULL,
    first_started_ns INTEGER NOT NULL,
    states BLOB NOT NULL,
    attempts BLOB,
    nodes BLOB,
    started BLOB,
    ended BLOB NOT NULL
);
CREATE INDEX batches_by_run ON batches (run);

-- Which batch holds what: elements [start, stop) of the map `node`, or, where `node` is -1,
-- single calls whose nodes are within [start, stop). `counts` says how many are in which state.
CREATE TABLE spans (
    run INTEGER NOT NULL,
    node INTEGER NOT NULL,
    start INTEGER NOT NULL,
    batch INTEGER NOT NULL,
    stop INTEGER NOT NULL,
    counts BLOB NOT NULL,
    PRIMARY KEY (run, node, start, batch)
) WITHOUT ROWID;

CREATE TABLE attempts (
    id INTEGER PRIMARY KEY,
    run INTEGER NOT NULL,
    node INTEGER NOT NULL,
    element INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    code INTEGER NOT NULL,
    name TEXT NOT NULL,
    message TEXT,
    exception_type TEXT,
    started_ns INTEGER NOT NULL,
    ended_ns INTEGER NOT NULL,
    worker TEXT NOT NULL,
    traceback TEXT,
    exception BLOB
);
CREATE INDEX attempts_by_element ON attempts (run, node, element);

CREATE TABLE logs (
    id INTEGER PRIMARY KEY,
    run INTEGER NOT NULL,
    node INTEGER,
    element INTEGER,
    attempt INTEGER NOT NULL,
    timestamp_ns INTEGER NOT NULL,
    level INTEGER NOT NULL,
    logger TEXT NOT NULL,
    message TEXT NOT NULL,
    task_run_name TEXT,
    sequence INTEGER NOT NULL
);
CREATE INDEX logs_by_time ON logs (run, timestamp_ns, sequence);
CREATE INDEX logs_by_element ON logs (run, node, element) WHERE node IS NOT NULL;
