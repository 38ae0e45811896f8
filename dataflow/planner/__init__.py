"""The graph becomes batches: pure decisions, without clocks, threads or input and output."""
