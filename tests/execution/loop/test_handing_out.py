"""Many slots are not all given a batch before the loop has looked at what came back."""

from __future__ import annotations

import pytest

from dataflow import flow, task
from dataflow.execution.loop.run_loop import HANDED_AT_ONCE
from dataflow.execution.runner_protocol import RunnerListener
from dataflow.model.batches import Batch
from dataflow.planner.batch_sizes import PROBE_ELEMENTS, RunnerCosts
from dataflow.worker.carry_batch import carry_out_in_process
from runners.inline import InlineTaskRunner

SLOTS = 4 * HANDED_AT_ONCE


class ManySlots(InlineTaskRunner):
    """Carries out each batch while it is handed over, and says that it could take many more."""

    name = "many"
    costs = RunnerCosts(dispatch_seconds=1e-3, target_seconds=10.0)
    slots = SLOTS

    def __init__(self) -> None:
        super().__init__()
        self.sizes: list[int] = []

    def start(self, listener: RunnerListener) -> None:
        self.listener = listener

    def submit(self, batch: Batch) -> None:
        self.sizes.append(batch.body.calls)
        carry_out_in_process(batch, self.listener.reported, self.listener.logged)

    def helps(self, inside: bool) -> bool:
        return False


@task
def number(x: int) -> int:
    return x


@pytest.mark.usefixtures("home")
def test_the_first_reports_say_how_large_the_batches_of_most_slots_are() -> None:
    runner = ManySlots()
    n = 4 * SLOTS * PROBE_ELEMENTS

    @flow(task_runner=runner)
    def mapped() -> int:
        return sum(number.map(range(n)).result())

    assert mapped() == sum(range(n))
    assert max(runner.sizes[:HANDED_AT_ONCE]) == PROBE_ELEMENTS
    assert runner.sizes[HANDED_AT_ONCE] > PROBE_ELEMENTS
