-- What a task took in a run goes with the run.

CREATE INDEX task_timings_by_run ON task_timings (run);
