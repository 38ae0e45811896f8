"""Dask clusters: how one is made, found, connected to and checked.

``runners.dask`` only carries out batches on what it gets from here.
"""
