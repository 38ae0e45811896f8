"""A flow's body becomes a static graph: nodes, what they need, and how they are shown."""
