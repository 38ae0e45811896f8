"""The folders of a pool: one in shared memory, and one on disk for what finds no room there.

They are removed with the process that made them; those of processes that were killed are removed by
the next one that makes some.
"""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from pathlib import Path

from dataflow.settings import get_settings
from runners.processes.memory_room import total_bytes
from runners.processes.value_files import Folders

_SHARED_MEMORY = Path("/dev/shm")
_MEMORY_SHARE = 0.5


def make_folders(memory_limit: int | None) -> Folders:
    """Make the folders of a pool of this process.

    Args:
        memory_limit: bytes in shared memory at most; None: half of the memory.
    """
    disk = Path(get_settings().spill_folder or get_settings().home / "spill").absolute()
    memory = _SHARED_MEMORY if os.access(_SHARED_MEMORY, os.W_OK) else None
    for place in (memory, disk):
        _remove_abandoned(place)
    if memory is None:
        disk.mkdir(parents=True, exist_ok=True)
    folder = tempfile.mkdtemp(prefix=f"dataflow-{os.getpid()}-", dir=memory or disk)
    limit = int(total_bytes() * _MEMORY_SHARE) if memory_limit is None else memory_limit
    folders = Folders(folder, str(disk / Path(folder).name), limit)
    for each in {folders.memory, folders.disk}:
        atexit.register(_remove_own, each, os.getpid())
    return folders


def _remove_own(folder: str, owner: int) -> None:
    if os.getpid() == owner:
        shutil.rmtree(folder, ignore_errors=True)


def _remove_abandoned(place: Path | None) -> None:
    """Remove the folders of processes that were killed."""
    for folder in place.glob("dataflow-*-*") if place is not None else ():
        owner = folder.name.split("-")[1]
        if owner.isdigit() and not _is_alive(int(owner)):
            shutil.rmtree(folder, ignore_errors=True)


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True
