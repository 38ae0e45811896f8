"""Hashes of values, calls and functions that are the same in every process, machine and year."""
