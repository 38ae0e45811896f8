"""Batches of one call, of a plain task or an ``async`` one."""

from __future__ import annotations

from typing import Any

from dataflow import task
from dataflow.model.batches import Batch, CallBody, RunInfo


@task
def plain() -> None:
    """Not awaited."""


@task
async def awaited() -> None:
    """Awaited."""


def batch(made_of: Any, number: int) -> Batch:
    """A batch of one call."""
    body = CallBody([0], [0], [0], [((), {})], [None])
    return Batch(id=number, run=RunInfo("", "", ""), tasks=[made_of], body=body)
