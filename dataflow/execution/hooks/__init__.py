"""State hooks: due with what is recorded, called once, also those that a process has left."""
