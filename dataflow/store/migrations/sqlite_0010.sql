-- Runs that were removed, and where they may have left results: these go when nobody can name them
-- any more. An empty `storage` is the one of the settings.

CREATE TABLE dropped_results (
    storage TEXT NOT NULL,
    run_id TEXT NOT NULL,
    dropped_ns INTEGER NOT NULL,
    PRIMARY KEY (storage, run_id)
) WITHOUT ROWID;
CREATE INDEX results_by_maker ON results (made_by) WHERE made_by IS NOT NULL;
