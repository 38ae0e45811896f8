-- Hooks of runs that are due stand beside those of their tasks: `node` -1 is the run itself. The
-- states that the flow of a run has hooks for are bits of `hooks`, by their codes: whoever ends a run
-- that nobody drives any more writes with that which hooks are due.

ALTER TABLE runs ADD COLUMN hooks INTEGER;
UPDATE runs SET hooks = 1 << 12 WHERE key IN (SELECT run FROM run_drivers WHERE has_hooks = 1);
ALTER TABLE run_drivers DROP COLUMN has_hooks;
INSERT INTO due_task_hooks (run, number, node, start, stop, code, attempt, called)
SELECT key, state_ns, -1, -1, 0, 12, run_count, 0 FROM runs
WHERE key IN (SELECT run FROM due_hooks);
DROP TABLE due_hooks;
ALTER TABLE due_task_hooks RENAME TO due_hooks;

-- What task runs have set in transactions, pickled (NULL: it could not be), and nodes whose task runs
-- were committed, up to which time: for a run that goes on. Later rows win.

CREATE TABLE transaction_values (
    id INTEGER PRIMARY KEY,
    run INTEGER NOT NULL,
    node INTEGER NOT NULL,
    element INTEGER NOT NULL,
    name TEXT NOT NULL,
    value BLOB
);
CREATE INDEX transaction_values_by_run ON transaction_values (run);
CREATE TABLE committed_nodes (
    id INTEGER PRIMARY KEY,
    run INTEGER NOT NULL,
    node INTEGER NOT NULL,
    committed_ns INTEGER NOT NULL
);
CREATE INDEX committed_nodes_by_run ON committed_nodes (run);
