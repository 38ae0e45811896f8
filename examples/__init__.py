"""Runnable examples on real data; `make demo` runs ``python -m examples.flights``."""
