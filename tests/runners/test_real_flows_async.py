"""What people really write, case 17: gather, async tasks and flows, loops that sleep."""

from __future__ import annotations

import asyncio
import time

import pytest

from dataflow import FutureList, flow, task
from tests.runners.stored import counts_of, run_of

pytestmark = pytest.mark.usefixtures("runner")


@task
async def double(x):
    await asyncio.sleep(0)
    return 2 * x


@task
def add(x, y=1):
    return x + y


@task
async def fail(x):
    await asyncio.sleep(0)
    raise ValueError(f"bad {x}")


@flow
async def inner(x):
    return await double(x)


@flow
async def gathers():
    tasks = await asyncio.gather(*[double(n) for n in range(5)])
    flows = await asyncio.gather(inner(1), inner(2))
    return tasks, flows, add(1)


def test_gather_of_tasks_and_subflows() -> None:
    assert asyncio.run(gathers()) == ([0, 2, 4, 6, 8], [2, 4], 2)
    run = run_of(gathers)
    assert {r.flow_name for r in run.subflows()} == {"inner"}
    assert len(run.subflows()) == 2


@task
async def meets(event_name, other):
    events[event_name].set()
    await asyncio.wait_for(events[other].wait(), 10)
    return event_name


events: dict[str, asyncio.Event] = {}


@flow
async def concurrent():
    events.update(a=asyncio.Event(), b=asyncio.Event())
    return await asyncio.gather(meets("a", "b"), meets("b", "a"))


def test_gathered_tasks_run_concurrently() -> None:
    assert asyncio.run(concurrent()) == ["a", "b"]


@flow
async def submits_async():
    future = double.submit(4)
    mapped = double.map(range(4))
    failed = fail.submit(1)
    with pytest.raises(ValueError, match="bad 1"):
        await failed
    chained = add.submit(future, y=mapped[3])
    assert isinstance(mapped, FutureList)
    return await future, await mapped, await chained, await asyncio.gather(*mapped)


def test_futures_are_awaitable() -> None:
    assert asyncio.run(submits_async()) == (8, [0, 2, 4, 6], 14, [0, 2, 4, 6])


@flow
def sync_flow():
    return double(2), double.submit(3), double.map([1, 2]), add(double(1), double.submit(5))


def test_async_tasks_in_a_sync_flow_give_values() -> None:
    assert sync_flow() == (4, 6, [2, 4], 12)
    assert counts_of(sync_flow)["double-0"] == {"Completed": 1}


@flow
async def resolves_in_calls():
    first = add.submit(1)
    return await double(first), await double([first, 1]), add(first, await double(3))


def test_async_calls_resolve_futures() -> None:
    assert asyncio.run(resolves_in_calls()) == (4, [2, 1, 2, 1], 8)


@flow
async def fails_in_gather():
    found = await asyncio.gather(double(1), fail(2), return_exceptions=True)
    return [repr(value) for value in found]


def test_gather_with_exceptions() -> None:
    assert asyncio.run(fails_in_gather()) == ["2", "ValueError('bad 2')"]


@task
async def sleeps(x):
    await asyncio.sleep(0.2)
    return x


@flow
def many_sleeps():
    return sleeps.map(range(40))


def test_async_tasks_of_a_map_overlap() -> None:
    assert many_sleeps() == list(range(40))
    run = run_of(many_sleeps)
    assert run.timing().busy_seconds >= 8
    attempts = [run.element("sleeps-0", index).attempts[0] for index in range(40)]
    spans = [(attempt.started_ns, attempt.ended_ns) for attempt in attempts]
    at_once = [sum(begun <= moment < ended for begun, ended in spans) for moment, _ in spans]
    assert max(at_once) > 10  # by two workers


@task
def slow(x):
    time.sleep(0.05)
    return x


@flow
def polls():
    futures = [slow.submit(n) for n in range(3)]
    turns = 0
    while not all(future.done() for future in futures):
        turns += 1
        assert turns < 2000
        time.sleep(0.01)
    return [future.result() for future in futures]


def test_a_body_that_polls_while_futures_run() -> None:
    assert polls() == [0, 1, 2]


@flow
async def polls_async():
    futures = slow.map(range(3))
    while not all(future.done() for future in futures):
        await asyncio.sleep(0.01)
    return futures.result()


def test_an_async_body_that_polls() -> None:
    assert asyncio.run(polls_async()) == [0, 1, 2]


@flow
async def raising():
    await double(1)
    raise KeyError("async")


def test_an_async_flow_that_raises() -> None:
    with pytest.raises(KeyError, match="async"):
        asyncio.run(raising())
    assert run_of(raising).state.is_failed()
    state = asyncio.run(inner(3, return_state=True))
    assert (state.name, state.result()) == ("Completed", 6)


@task
def counts(n):
    yield from range(n)


@task
async def counts_async(n):
    for number in range(n):
        await asyncio.sleep(0)
        yield number


@flow
def generators():
    lazily = []
    for number in counts(3):
        lazily.append(number)
        if number == 1:
            break
    return lazily, counts.submit(3), counts.map([1, 2]), counts_async.submit(2), list(counts(2))


def test_generators_are_lists_when_submitted_and_lazy_when_called() -> None:
    assert generators() == ([0, 1], [0, 1, 2], [[0], [0, 1]], [0, 1], [0, 1])
