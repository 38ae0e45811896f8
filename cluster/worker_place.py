"""Gives the workers of a cluster over SSH the environment and the folder that its spec names.

Dask loads this module into the nannies there (as a "preload"); their workers come after it.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import dask.config

ENVIRONMENT, FOLDER = "dataflow.environment-file", "dataflow.working-folder"
"""Dask's settings that say where each is."""


def dask_setup(nanny: Any) -> None:
    """Called by Dask in each process that it starts."""
    file = dask.config.get(ENVIRONMENT, None)
    folder = dask.config.get(FOLDER, None)
    try:
        if file is not None:
            nanny.env.update(json.loads(Path(file).read_text()))
        if folder is not None:
            os.chdir(Path(folder).expanduser())
    except (OSError, ValueError) as error:  # Dask would go on
        print(f"{nanny.name}: {error}", file=sys.stderr, flush=True)
        os._exit(1)
