"""Whose batch is next, and what may share one: a long map keeps nobody waiting, a cap is kept.

Runs are rehearsed on a clock of their own, with the queues of real ones, so no time here depends on
the machine.
"""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataflow import flow, task
from dataflow.execution.rehearsal import RehearsedBatch, rehearse
from runners.processes import ProcessPoolTaskRunner

LINKS, LINK_SECONDS = 5, 0.010
MOST = 1.5
"""How much longer a short branch may take beside a long map."""


@task
def element(number: int) -> int:
    return number


@task
def link(number: int) -> int:
    return number


@task
async def soon(number: int) -> int:
    return number


def batches_of(body: Any, slots: int = 2, **seconds: float) -> list[RehearsedBatch]:
    """What a pool of processes would carry out if tasks took so long; 1 ms those not named."""
    graph = flow(body, name="rehearsed").trace()
    return rehearse(graph, slots, ProcessPoolTaskRunner.costs, seconds).batches


def has(batch: RehearsedBatch, name: str) -> bool:
    return any(node.task.name == name for node in batch.nodes)


def branch_seconds(length: int, slots: int, links: int, **seconds: float) -> float:
    """When the last link of a chain has ended that is submitted after a map of some length."""

    def body() -> Any:
        mapped = element.map(range(length)) if length else None
        value: Any = 0
        for _ in range(links):
            value = link.submit(value)
        return mapped, value

    batches = batches_of(body, slots, link=LINK_SECONDS, **seconds)
    return max(batch.ended for batch in batches if has(batch, "link"))


@pytest.mark.parametrize("links", [LINKS, 40])
@pytest.mark.parametrize("slots", [2, 16])
@pytest.mark.parametrize("mean", [1e-6, 1e-4, 1e-2])
def test_a_short_branch_beside_a_long_map_ends_as_if_it_were_alone(
    mean: float, slots: int, links: int
) -> None:
    length = min(1_000_000, int(20 / mean))
    alone = branch_seconds(0, slots, links)
    assert branch_seconds(length, slots, links, element=mean) <= MOST * alone


def test_concurrent_calls_need_no_slot_and_wait_for_nobody() -> None:
    def body() -> Any:
        return link.submit(0), link.submit(1), soon.map(range(1000))

    batches = batches_of(body, slots=2, link=10.0, soon=0.001)
    (last,) = {batch.ended for batch in batches if has(batch, "soon")}
    assert last < LINK_SECONDS
    assert max(batch.ended for batch in batches) > LINKS


@pytest.mark.parametrize("mean", [3e-4, 1e-3, 1e-2])
def test_what_waits_for_a_part_of_a_long_batch_begins_with_it(mean: float) -> None:
    # a wave front: the right half of each row needs the left half's last of the row before
    width, steps = 16, 30

    def body() -> Any:
        row: list[Any] = []
        for _ in range(steps):
            needs = [row[max(at - 1, 0) : at + 1] for at in range(width)]
            row = [element.submit(need) for need in needs]
        return row

    batches = batches_of(body, element=mean)
    assert max(batch.ended for batch in batches) <= 1.15 * width * steps * mean / 2


STEPS = st.lists(st.sampled_from(["map", "over", "submit", "follow"]), min_size=1, max_size=6)


@settings(max_examples=40, deadline=None)
@given(
    steps=STEPS,
    cap=st.integers(1, 5),
    length=st.integers(0, 60),
    slots=st.integers(1, 5),
    mean=st.sampled_from([None, 1e-7, 1e-4, 1e-2]),
)
def test_no_more_calls_share_a_batch_than_their_task_allows(
    steps: list[str], cap: int, length: int, slots: int, mean: float | None
) -> None:
    capped = element.with_options(batch_size=cap)

    def body() -> None:
        before: Any = range(length)
        value: Any = 0
        for step in steps:
            if step in ("map", "over"):
                before = capped.map(before if step == "over" else range(length))
                link.map(before)  # of another task, which would be fused but for the cap
            else:
                value = [capped.submit(value if step == "follow" else 0) for _ in range(3)][-1]
                link.submit(value)

    known = {} if mean is None else {"element": mean, "link": mean}
    batches = batches_of(body, slots, **known)
    with_element = [batch for batch in batches if has(batch, "element")]
    assert sum(batch.calls for batch in with_element) == sum(
        length if step in ("map", "over") else 3 for step in steps
    )
    assert all(batch.calls <= cap for batch in with_element)
    assert not any(has(batch, "link") for batch in with_element)
