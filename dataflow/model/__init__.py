"""What users declare and what a run is made of, as plain data: no I/O, nothing runs here."""
