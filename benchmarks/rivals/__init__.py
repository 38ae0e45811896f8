"""Rivals: one file for each way to carry out the work, all with the methods of `Rival`.

Nothing of a peer is imported before `Rival.load`: a file of another peer can be read anywhere.
"""
