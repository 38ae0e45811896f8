"""Many requests at once: ``async`` tasks against a local server that now and then says 503."""
