"""Memory that calls have freed, kept for the next ones while a worker is busy.

To get 100 MB from the system takes 9 ms, since it has to clear them: longer than to fill them.
glibc therefore keeps blocks of up to 32 MB that are freed, once it has seen some, and gives larger
ones back each time. A worker whose calls return larger values has it keep those, too, up to a
bound; it gives everything back when it has nothing to do, or holds much more than that.
"""

from __future__ import annotations

import ctypes
import os
import sys
from functools import cache
from pathlib import Path
from typing import Any

from runners.processes.memory_room import share_of_memory

_KEPT_ANYWAY = 32 << 20
_MOST_BYTES = 256 << 20
_MOST_SHARE = 128  # of the memory, as there may be many workers, and each keeps two blocks or three
_MOST_BLOCKS = 3
_SAID_BY = ("MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_", "GLIBC_TUNABLES")
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # of ``malloc.h``
_STATISTICS = "/proc/self/statm"
_PAGE = os.sysconf("SC_PAGE_SIZE")


class FreedMemory:
    """What this process has freed and not given back.

    Nothing is changed where the environment says what glibc is to keep, or there is no glibc.

    Attributes:
        is_kept: whether there may be any that ``release`` gives back.
    """

    def __init__(self) -> None:
        self.is_kept = False
        self._block = _KEPT_ANYWAY  # the largest that is kept
        self._base = 0  # bytes in use when nothing was kept, as far as is known
        self._glibc = _glibc()

    def expect(self, nbytes: int) -> None:
        """Blocks of so many bytes are made, freed, and made again."""
        if self._glibc is None or nbytes <= self._block or nbytes > _most_bytes():
            return
        if not self._glibc.mallopt(_M_MMAP_THRESHOLD, nbytes + _PAGE):
            self._glibc = None  # an older one, which refuses so much
            return
        self._glibc.mallopt(_M_TRIM_THRESHOLD, 2 * nbytes)  # as glibc does itself
        self._block = nbytes
        self._base = _private_bytes()
        self.is_kept = True

    def release_excess(self) -> None:
        """Calls have ended: give everything back if much more is in use than there was."""
        if self._block == _KEPT_ANYWAY:
            return
        in_use = _private_bytes()
        self._base = min(self._base, in_use)
        if in_use > self._base + _MOST_BLOCKS * self._block:
            self.release()
        self.is_kept = True

    def release(self) -> None:
        """Give everything back to the system."""
        if self._glibc is not None:
            self._glibc.malloc_trim(0)
            self._base = _private_bytes()
        self.is_kept = False


@cache
def _most_bytes() -> int:
    return share_of_memory(_MOST_SHARE, _MOST_BYTES)


def _glibc() -> Any:
    is_said = any(name in os.environ for name in _SAID_BY)
    if sys.platform != "linux" or is_said or not os.access(_STATISTICS, os.R_OK):
        return None
    library = ctypes.CDLL(None)
    return library if hasattr(library, "gnu_get_libc_version") else None


def _private_bytes() -> int:
    """Memory of this process that it shares with no other."""
    _, resident, shared, *_ = Path(_STATISTICS).read_bytes().split()
    return (int(resident) - int(shared)) * _PAGE
