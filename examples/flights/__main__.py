"""``python -m examples.flights`` is ``python examples/flights/flow.py``."""

from __future__ import annotations

from examples.flights.flow import main

if __name__ == "__main__":
    main()
