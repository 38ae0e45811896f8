"""Has a process that was started over SSH end when that connection does.

Else it would outlive a cluster whose host has died. Dask loads this module into the scheduler and
the nannies of such a cluster (as a "preload"); workers end with their nannies.
"""

from __future__ import annotations

import os
import sys
import threading
from typing import Any


def dask_setup(server: Any) -> None:
    """Called by Dask in each process that it starts."""
    threading.Thread(target=_wait, name="dataflow ssh", daemon=True).start()


def _wait() -> None:
    """Standard input is the connection; nothing ever comes over it but its end."""
    descriptor = sys.__stdin__.fileno() if sys.__stdin__ is not None else 0
    try:
        while os.read(descriptor, 4096):
            pass
    except OSError:
        pass
    os._exit(0)
