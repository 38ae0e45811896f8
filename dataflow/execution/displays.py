"""The door to the progress display: found as any plug-in is, and never in a run's way.

Where nothing is to be shown, nothing is imported: a script without a terminal pays nothing.
"""

from __future__ import annotations

import contextlib
import sys

from dataflow.plugins import load_plugin
from dataflow.settings import get_settings


def offer_display() -> None:
    """Have progress shown, if the settings want it or the terminal allows it."""
    mode = get_settings().progress
    if mode == "off" or (mode == "auto" and not _someone_looks()):
        return
    with contextlib.suppress(Exception):  # a display harms no run
        load_plugin("dataflow.displays", "progress")()


def _someone_looks() -> bool:
    return "ipykernel" in sys.modules or bool(sys.stderr and sys.stderr.isatty())
