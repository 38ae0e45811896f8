-- Hooks of task runs that are due: written with the state that they are about, and claimed one by
-- one just before they are called, so that whoever goes on after a process was killed calls the rest.

CREATE TABLE due_task_hooks (
    run BIGINT NOT NULL,
    number BIGINT NOT NULL,
    node BIGINT NOT NULL,
    start BIGINT NOT NULL,
    stop BIGINT NOT NULL,
    code BIGINT NOT NULL,
    attempt BIGINT NOT NULL,
    -- of the hooks for `start`
    called BIGINT NOT NULL,
    PRIMARY KEY (run, number)
);
