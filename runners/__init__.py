"""How a batch is carried out: one file for each way, one protocol, one conformance suite.

The runners are found by their names through the entry points ``dataflow.runners``.
"""
