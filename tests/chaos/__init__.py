"""Chaos: processes of a flow are killed at random moments, its run is resumed, nothing is lost.

``python -m tests.chaos --kills 200 --seed 1 --runner processes`` goes on until so many processes
have been killed, and exits with 1 if a promise was broken; ``test_chaos.py`` is a short form of it.
A round that broke one is repeated by the command that is printed with it.
"""
