"""What runs leave behind: written by whoever drives a run, read by anyone, any time."""
