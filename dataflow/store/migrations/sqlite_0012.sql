-- Hooks of task runs that are due: written with the state that they are about, and claimed one by
-- one just before they are called, so that whoever goes on after a process was killed calls the rest.

CREATE TABLE due_task_hooks (
    run INTEGER NOT NULL,
    number INTEGER NOT NULL,
    node INTEGER NOT NULL,
    start INTEGER NOT NULL,
    stop INTEGER NOT NULL,
    code INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    -- of the hooks for `start`
    called INTEGER NOT NULL,
    PRIMARY KEY (run, number)
) WITHOUT ROWID;
