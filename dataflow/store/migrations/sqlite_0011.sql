-- Cache keys of runs that are removed are looked for in the order of the keys (see cache_keys.py): they
-- lie all over the table, so that going there for each run writes a page for each key.

DROP INDEX cache_keys_by_run;
