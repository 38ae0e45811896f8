"""A small disk of its own for the temporary files of a host's workers, which can be filled."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

_BYTES = 400_000_000
_BLOCK = bytes(1_000_000)
_NAME = "dataflow-chaos"


class Disk:
    """A file system in memory, mounted until it is closed.

    Args:
        folder: where; it is made.
    """

    def __init__(self, folder: Path) -> None:
        _remove_left()
        self.folder = folder
        folder.mkdir()
        named = f"{_NAME}-{os.getpid()}"
        command = ["mount", "-t", "tmpfs", "-o", f"size={_BYTES}", named, str(folder)]
        subprocess.run(command, check=True)

    def fill(self) -> None:
        """Leave nothing free."""
        try:
            with self._filling.open("wb", buffering=0) as file:
                while file.write(_BLOCK) == len(_BLOCK):
                    pass
        except OSError:  # no space left
            pass

    def clear(self) -> None:
        """Have room again."""
        self._filling.unlink(missing_ok=True)

    @property
    def _filling(self) -> Path:
        return self.folder / "filling"

    def close(self) -> None:
        """Unmount it, also if somebody still uses it."""
        subprocess.run(["umount", "--lazy", str(self.folder)], check=True)
        self.folder.rmdir()


def _remove_left() -> None:
    """Unmount what a process has left that was killed; several may see to that at once."""
    for line in Path("/proc/mounts").read_text().splitlines():
        found = re.match(rf"{_NAME}-(\d+) (\S+) tmpfs ", line)
        if found and not Path("/proc", found[1]).exists():
            subprocess.run(["umount", "--lazy", found[2]], check=False, capture_output=True)
