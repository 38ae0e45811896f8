"""What Dask is told in every cluster that we start, whoever provides it."""

from __future__ import annotations

from typing import Any

OUR_CONFIG: dict[str, Any] = {
    "distributed.worker.multiprocessing-method": "forkserver",
    # the run decides what becomes of a batch whose worker died: it knows which call was at fault
    "distributed.scheduler.allowed-failures": 0,
    # a worker that comes while none is there gets all that waits, and the next one nothing of it
    # until it steals: with Dask's interval of 1 s, it had nothing to do for so long
    "distributed.scheduler.work-stealing-interval": "200ms",
    "distributed.scheduler.preload": ["cluster.message_intervals", "cluster.preferred_workers"],
}
