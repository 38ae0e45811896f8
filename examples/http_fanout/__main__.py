"""``python -m examples.http_fanout [PAGES] [--runner NAME]``."""

from __future__ import annotations

from examples.http_fanout.flow import main

if __name__ == "__main__":
    main()
