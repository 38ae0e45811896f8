"""Transactions: what has to be taken back together."""
