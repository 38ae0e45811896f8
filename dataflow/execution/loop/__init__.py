"""The run loop: takes what was traced, hands out batches, takes reports, and has them recorded."""
