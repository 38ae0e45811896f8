"""What is compiled when dataflow is installed: one small file of C, where there is a compiler.

Without it nothing is missing but speed (``runners/processes/array_places.py``).
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface
from packaging.tags import platform_tags

_SOURCE = "runners/processes/array_places.c"
_LIBRARY = "runners/processes/libarray_places.so"
_FLAGS = ("-std=c11", "-O2", "-Wall", "-Wextra", "-shared", "-fPIC")


class Compiling(BuildHookInterface[Any]):
    """Compiles for Linux, by ``CC`` or ``cc``."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile into the source tree if it is installed as it stands, else into the wheel."""
        self._made = tempfile.TemporaryDirectory()
        if sys.platform != "linux":
            return
        root = Path(self.root)
        made = Path(self._made.name) / Path(_LIBRARY).name
        try:
            if version == "editable":
                (root / _LIBRARY).unlink(missing_ok=True)  # it may be that of an older source
            compiler = shlex.split(os.environ.get("CC") or "cc")
            subprocess.run([*compiler, *_FLAGS, "-o", str(made), str(root / _SOURCE)], check=True)
            if version == "editable":
                shutil.copy(made, root / _LIBRARY)
        except (OSError, ValueError, subprocess.CalledProcessError) as error:
            self.app.display_warning(f"Large arrays will be copied once more than need be: {error}")
            return
        if version != "editable":
            build_data["force_include"][str(made)] = _LIBRARY
            build_data["pure_python"] = False
            ours = next(tag for tag in platform_tags() if tag.startswith("linux_"))
            build_data["tag"] = f"py3-none-{ours}"

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Remove what the wheel has now."""
        self._made.cleanup()
