"""The peak of resident memory since a moment, of one process.

The kernel's high-water mark is set back where that is possible (Linux). Elsewhere it is the peak
since the process began, and that of this process alone.
"""

from __future__ import annotations

from pathlib import Path


class PeakMemory:
    """Begins to watch when it is made."""

    def __init__(self, process: int | str = "self") -> None:
        self._folder = Path("/proc") / str(process)
        try:
            (self._folder / "clear_refs").write_text("5")
        except OSError:
            pass
        self.start_bytes = _peak_bytes(self._folder)

    def grown_bytes(self) -> int:
        """How far the memory in use has risen above what it was."""
        return _peak_bytes(self._folder) - self.start_bytes


def _peak_bytes(folder: Path) -> int:
    try:
        for line in (folder / "status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return _peak_bytes_elsewhere()


def _peak_bytes_elsewhere() -> int:
    import sys
    from resource import RUSAGE_SELF, getrusage

    unit = 1 if sys.platform == "darwin" else 1024
    return getrusage(RUSAGE_SELF).ru_maxrss * unit
