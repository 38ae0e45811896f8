"""A large cluster on paper: the real planner, run state and store, simulated workers and time."""
