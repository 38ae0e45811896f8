"""What a worker would tell of a batch: when, and of which calls, by the rules of real ones.

Nothing is carried out: how long each element takes is known beforehand.
"""

from __future__ import annotations

import math
import pickle
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from dataflow.model.batches import Batch, BatchReport, MapBody
from dataflow.model.states import StateCode
from dataflow.worker.columns import pack
from runners.dask.worker import PART_SECONDS

MOST_IN_A_PART = 700
"""Calls that a part of a report may tell of: more are too large for one of Dask's events."""
STUCK_SECONDS = 0.1
"""A call that has taken so long may be waited for elsewhere (see ``dataflow.worker.outcomes``)."""
_COMPLETED = bytes((StateCode.COMPLETED,))
Seconds = np.ndarray[Any, np.dtype[np.float64]]


@dataclass(frozen=True, slots=True)
class Told:
    """One report: when it is made, after the batch has begun, and the calls that it tells of."""

    seconds: float
    first: int
    stop: int
    final: bool
    reaches: int | None = None


def told_of(batch: Batch, durations: Seconds) -> list[Told]:
    """All reports of a batch, the last of which ends it.

    Args:
        batch: elements of one map.
        durations: the seconds of every element of that map.
    """
    ends = _ends(batch, durations)
    count = min(int(np.searchsorted(ends, batch.budget_seconds, "right")) + 1, len(ends))
    found = list(_parts(batch, ends[:count], len(ends)))
    first = found[-1].stop if found else 0
    return [*found, Told(float(ends[count - 1]), first, count, True)]


def _ends(batch: Batch, durations: Seconds) -> Seconds:
    ends: Seconds = np.cumsum(durations[_place(batch)])
    return ends


def _place(batch: Batch) -> Any:
    """The elements of a batch, as numpy takes the values of some of many."""
    assert isinstance(batch.body, MapBody)
    indices = batch.body.indices
    return slice(indices.start, indices.stop) if isinstance(indices, range) else list(indices)


def _parts(batch: Batch, ends: Seconds, calls: int) -> Iterator[Told]:
    every = max(PART_SECONDS, batch.part_seconds)
    cut_from = _cut_from(batch, ends) if len(ends) < calls else math.inf
    told, is_cut = 0, False
    for seconds in np.arange(every, ends[-1], every):
        ended = int(np.searchsorted(ends, seconds, "right"))
        stop = ended if ended - told <= MOST_IN_A_PART else told
        cuts = seconds >= cut_from and not is_cut
        if stop > told or cuts:
            yield Told(float(seconds), told, stop, False, len(ends) if cuts else None)
        told, is_cut = stop, is_cut or cuts


def _cut_from(batch: Batch, ends: Seconds) -> float:
    """From when on it says, if it is asked, that it will stop behind its last call."""
    began = float(ends[-2]) if len(ends) > 1 else 0.0
    return max(batch.budget_seconds, began + STUCK_SECONDS)


def report_of(batch: Batch, told: Told, durations: Seconds, begun: float) -> bytes:
    """One of these reports, as it is sent; ``begun``: the seconds at which the batch began."""
    elements = _elements(batch, told)
    ends = (_ends(batch, durations)[: told.stop] + begun) * 1e9
    started = ends[told.first - 1] if told.first else begun * 1e9
    report = BatchReport(
        batch_id=batch.id,
        first=told.first,
        states=_COMPLETED * len(elements),
        clock_offset_ns=0,
        first_started_ns=int(started),
        started=None,
        ended=ends[told.first :].astype("<i8").tobytes(),
        values=pack(elements, exact=False),
        worker="simulated:1",
        final=told.final,
        reaches=told.reaches,
    )
    return pickle.dumps(report, 5)


def _elements(batch: Batch, told: Told) -> list[int]:
    assert isinstance(batch.body, MapBody)
    indices: Sequence[int] = batch.body.indices[told.first : told.stop]
    return list(indices)
