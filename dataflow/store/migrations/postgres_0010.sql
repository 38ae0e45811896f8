-- Runs that were removed, and where they may have left results: these go when nobody can name them
-- any more. An empty `storage` is the one of the settings.

CREATE TABLE dropped_results (
    storage TEXT NOT NULL,
    run_id TEXT COLLATE "C" NOT NULL,
    dropped_ns BIGINT NOT NULL,
    PRIMARY KEY (storage, run_id)
);
CREATE INDEX results_by_maker ON results (made_by) WHERE made_by IS NOT NULL;

-- Times and hashes hardly get smaller, and trying takes the server a millisecond for each batch.
ALTER TABLE batches ALTER COLUMN started SET STORAGE EXTERNAL;
ALTER TABLE batches ALTER COLUMN ended SET STORAGE EXTERNAL;
ALTER TABLE results ALTER COLUMN digests SET STORAGE EXTERNAL;
