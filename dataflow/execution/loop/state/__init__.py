"""The state of runs: which node can begin, which has ended, and what follows from that."""
