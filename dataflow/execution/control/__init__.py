"""What is done to a run: signals, pausing, suspending, resuming."""
