"""A run of a flow: its body, the calls that it makes itself, and how it ends."""
