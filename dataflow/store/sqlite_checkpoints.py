"""What is in the write-ahead log comes into the database beside the writer, not in its way.

SQLite would have the commit that makes the log too long bring all of it over, while everybody who
waits for that commit waits on. So a moment after something was written, another thread looks how
long the log is, and brings over what is worth it: neither writers nor readers wait for that. The
log begins anew when all of it is over. Under constant load it may take long until that is so; the
commit that finds it at ``MOST_PAGES`` then does the rest itself, as before.
"""

from __future__ import annotations

import contextlib
import struct
import threading
from collections.abc import Callable
from pathlib import Path

MOST_PAGES = 16_000
"""64 MB."""
_WORTH_PAGES = 1000
_PAUSE_SECONDS = 0.5
_HEADER = struct.Struct(">IIIIII")  # magic, version, bytes of a page, sequence, two salts
_HEADER_BYTES, _FRAME_BYTES = 32, 24


class Checkpoints:
    """Looks after the log of one store.

    Args:
        path: the store.
        checkpoint: brings over what can be brought over without waiting; it raises nothing.
    """

    def __init__(self, path: Path, checkpoint: Callable[[], None]) -> None:
        self._log = path.with_name(f"{path.name}-wal")
        self._checkpoint = checkpoint
        self._timer: threading.Timer | None = None
        self._busy = threading.RLock()  # whoever lets go of a store may be this very thread

    def note_write(self) -> None:
        """Something was written: look in a moment, unless that is about to be done anyway."""
        if self._timer is None:
            self._timer = threading.Timer(_PAUSE_SECONDS, self._look)
            self._timer.name = "dataflow checkpoints"
            self._timer.daemon = True
            self._timer.start()

    def stop(self) -> None:
        """Do nothing more; what is being done is waited for."""
        if self._timer is not None:
            self._timer.cancel()
        with self._busy:
            pass

    def _look(self) -> None:
        with self._busy:
            self._timer = None
            if pages_in(self._log) >= _WORTH_PAGES:
                self._checkpoint()


def pages_in(log: Path) -> int:
    """How many pages are in a log, without what is left in its file of an earlier turn."""
    with contextlib.suppress(OSError, struct.error), log.open("rb") as file:
        _, _, page_bytes, _, *salts = _HEADER.unpack(file.read(_HEADER.size))
        step = _FRAME_BYTES + page_bytes
        least, most = 0, (log.stat().st_size - _HEADER_BYTES) // step
        while least < most:  # the first frame that has not the salts of the header
            middle = (least + most) // 2
            file.seek(_HEADER_BYTES + middle * step + 8)
            if list(struct.unpack(">II", file.read(8))) == salts:
                least = middle + 1
            else:
                most = middle
        return least
    return 0
