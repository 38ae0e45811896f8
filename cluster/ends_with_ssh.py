"""Has a process that was started over SSH end when that connection does.

Else it would outlive a cluster whose host has died, and so would the private files that were copied
for it: the last of a machine's processes removes them. Dask loads this module into the scheduler
and the nannies of such a cluster (as a "preload"); workers end with their nannies.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import sys
import threading
from typing import Any

import dask.config

FILES = "dataflow.files-folder"
"""Dask's setting that says where the private files are."""


def dask_setup(server: Any) -> None:
    """Called by Dask in each process that it starts."""
    folder = dask.config.get(FILES, None)
    held = None
    if folder is not None:
        held = os.open(folder, os.O_RDONLY)
        fcntl.flock(held, fcntl.LOCK_SH)  # as long as it lives
    threading.Thread(target=_wait, args=(folder, held), name="dataflow ssh", daemon=True).start()


def _wait(folder: str | None, held: int | None) -> None:
    """Standard input is the connection; nothing ever comes over it but its end."""
    descriptor = sys.__stdin__.fileno() if sys.__stdin__ is not None else 0
    try:
        while os.read(descriptor, 4096):
            pass
    except OSError:
        pass
    if folder is not None and held is not None:
        _remove_if_last(folder, held)
    os._exit(0)


def _remove_if_last(folder: str, held: int) -> None:
    """Remove the files, unless another process still holds them."""
    fcntl.flock(held, fcntl.LOCK_UN)
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return
    shutil.rmtree(folder, ignore_errors=True)
