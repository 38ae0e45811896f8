"""What need not be run: results of earlier attempts, earlier runs and the cache."""
