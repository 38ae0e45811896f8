"""Benchmarks: `python -m benchmarks SUITE` runs the same work on dataflow and on its peers.

Measurements are taken by ``measure`` in fresh processes of each peer's own interpreter: what it
imports (``cases``, ``rivals``, ``peak_memory``) needs the standard library and that peer alone.
"""
