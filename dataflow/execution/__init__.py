"""A plan is driven: what can run is sent to a runner, what comes back is recorded and announced."""
