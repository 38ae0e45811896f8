"""Packs of results that a batch reported become records."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from dataflow.execution.reuse.run_results import RunResults
from dataflow.model.batches import Batch, MapBody, ResultPack
from dataflow.model.records import SINGLE_CALLS, ResultRecord


def result_records(
    results: RunResults, batch: Batch, packs: Sequence[ResultPack], now_ns: int
) -> list[ResultRecord]:
    """The records of the packs of one report."""
    found = []
    for pack in packs:
        for task, node, elements, numbers in _nodes_in(batch, pack):
            about = results.of(task)
            if about is None:
                continue
            keys = (
                b"".join([results.keys_of(each, range(1)) or bytes(16) for each in elements])
                if node == SINGLE_CALLS
                else results.keys_of(node, elements)
            )
            digests = pack.digests
            if len(numbers) < len(pack.calls):
                digests = b"".join([digests[16 * at : 16 * at + 16] for at in numbers])
            found.append(
                ResultRecord(
                    run_id=batch.run.run_id,
                    node=node,
                    elements=elements,
                    numbers=numbers,
                    storage=pack.storage,
                    name=pack.name,
                    serializer=pack.serializer,
                    created_ns=now_ns,
                    source=about.source,
                    digests=digests,
                    cache_keys=keys if about.options.policy is not None else b"",
                    expires_ns=about.expires_ns(now_ns),
                )
            )
    return found


def _nodes_in(
    batch: Batch, pack: ResultPack
) -> Iterator[tuple[Any, int, Sequence[int], Sequence[int]]]:
    """Task, node, elements and places in the pack of each node (or of each task's calls)."""
    body, calls = batch.body, pack.calls
    if isinstance(body, MapBody):
        width = len(body.stages)
        for number, stage in enumerate(body.stages):
            task = batch.tasks[stage.task]
            if width == 1 and isinstance(calls, range) and calls.step == 1:
                yield task, stage.node, body.indices[calls.start : calls.stop], range(len(calls))
                continue
            numbers = [at for at, call in enumerate(calls) if call % width == number]
            if numbers:
                elements = [body.indices[calls[at] // width] for at in numbers]
                yield task, stage.node, elements, numbers
        return
    by_task: dict[int, list[int]] = {}
    for at, call in enumerate(calls):
        by_task.setdefault(body.tasks[call], []).append(at)
    for task_number, numbers in by_task.items():
        nodes = [body.nodes[calls[at]] for at in numbers]
        yield batch.tasks[task_number], SINGLE_CALLS, nodes, numbers
