"""A small disk of its own for the temporary files of a host's workers, which can be filled."""

from __future__ import annotations

import subprocess
from pathlib import Path

_BYTES = 400_000_000
_BLOCK = bytes(1_000_000)


class Disk:
    """A file system in memory, mounted until it is closed.

    Args:
        folder: where; it is made.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        size = f"size={_BYTES}"
        subprocess.run(["mount", "-t", "tmpfs", "-o", size, "chaos", str(folder)], check=True)

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
