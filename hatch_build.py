"""What is compiled when dataflow is installed: one small file of C, where there is a compiler.

Without it nothing is missing but speed (``runners/processes/array_places.py``).
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

_SOURCE = "runners/processes/array_places.c"
_LIBRARY = "runners/processes/libarray_places.so"
_FLAGS = ("-std=c11", "-O2", "-Wall", "-Wextra", "-shared", "-fPIC")


class Compiling(BuildHookInterface[Any]):
    """Compiles for Linux, by ``CC`` or ``cc``."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile into the source tree if it is installed as it stands, else into the wheel."""
        if sys.platform != "linux":
            return
        root = Path(self.root)
        self._made = tempfile.TemporaryDirectory(dir=root if version == "editable" else None)
        library = Path(self._made.name) / Path(_LIBRARY).name
        compiler = shlex.split(os.environ.get("CC") or "cc")
        try:
            subprocess.run(
                [*compiler, *_FLAGS, "-o", str(library), str(root / _SOURCE)], check=True
            )
        except (OSError, subprocess.CalledProcessError) as error:
            self.app.display_warning(f"Large arrays will be copied once more than need be: {error}")
            return
        if version == "editable":
            library.replace(root / _LIBRARY)  # at once: it may be in use
            return
        build_data["force_include"][str(library)] = _LIBRARY
        build_data["pure_python"] = False
        build_data["tag"] = "py3-none-" + sysconfig.get_platform().translate({45: 95, 46: 95})

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Remove what the wheel has now."""
        if sys.platform == "linux":
            self._made.cleanup()
