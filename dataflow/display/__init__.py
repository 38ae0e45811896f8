"""What people see of runs: live progress on terminals and in notebooks, graphs, errors.

Displays listen to :mod:`dataflow.events`; the engine never calls them.
"""
