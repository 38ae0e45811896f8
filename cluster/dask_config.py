"""What Dask is told in every cluster that we start, whoever provides it."""

from __future__ import annotations

from typing import Any

OUR_CONFIG: dict[str, Any] = {
    "distributed.worker.multiprocessing-method": "forkserver",
    # the run decides what becomes of a batch whose worker died: it knows which call was at fault
    "distributed.scheduler.allowed-failures": 0,
    "distributed.scheduler.preload": ["cluster.message_intervals", "cluster.preferred_workers"],
}
