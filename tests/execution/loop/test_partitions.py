"""However elements are shared out into batches and reported, nobody can tell from what comes of it.

The state, the worker's code and the store are the real ones; what is drawn is how many elements
each batch takes, where it is cut, after which calls it reports, and which batch comes back first.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dataflow import allow_failure, get_run_logger, runtime, task
from dataflow.execution import results
from dataflow.futures import FutureList, TaskFuture
from dataflow.graph.trace import trace_map, trace_submit
from dataflow.model.states import StateCode
from dataflow.store.run_store import RunStore, open_store
from tests.execution.simulated_runner import SimulatedRun
from tests.store.samples import fresh_run_id, run_record

Pair = tuple[int, str]


def live(pair: Pair) -> Pair:
    """One element, with the fate that it brings along, and all that a task can say meanwhile."""
    from dataflow import Completed, Failed

    number, fate = pair
    attempt = runtime.task_run.run_count
    get_run_logger().info("%s begins attempt %s at %s", runtime.task_run.name, attempt, number)
    print("printed by", number, "at attempt", attempt)
    if fate == "bad" or (fate == "once" and attempt == 1):
        raise ValueError(f"{fate} {number}")
    print("it lives")
    if fate == "state":
        return Failed(message=f"state {number}")  # type: ignore[return-value]
    if fate == "named":
        return Completed(  # type: ignore[return-value]
            name="Named", message=f"named {number}", data=(number + 1, "good")
        )
    return number + 1, fate


async def live_async(pair: Pair) -> Pair:
    """The same in a coroutine."""
    return live(pair)


def survive(pair: Pair | BaseException) -> Pair:
    """It takes whatever came before."""
    return live((0, type(pair).__name__) if isinstance(pair, BaseException) else pair)


plain = task(live, name="plain", log_prints=True)
KINDS: dict[str, Any] = {
    "plain": plain,
    "named": plain.with_options(name="named", task_run_name="{pair[1]} {pair[0]}"),
    "retried": plain.with_options(name="retried", retries=1),
    "delayed": plain.with_options(name="delayed", retries=2, retry_delay_seconds=5),
    "async": task(live_async, name="async", log_prints=True),
    "async retried": task(live_async, name="async retried", log_prints=True, retries=1),
    "allowing": task(survive, name="allowing", log_prints=True),
}


@task
def listed(pairs: Sequence[Pair]) -> list[Pair]:
    return list(pairs)


class Stage(NamedTuple):
    """A map over another: that many stages back, or over the fates where there are not as many."""

    kind: str
    back: int
    is_dynamic: bool
    """Of those over the fates: over what a task returns, so that nobody knows the length before."""


class Partition(NamedTuple):
    """How a run is cut up: each column is gone through again and again."""

    sizes: tuple[int | None, ...]
    """`batch_size` of each map; None: whatever there is, fused with others."""
    cuts: tuple[int | None, ...]
    """How many elements a batch reaches; None: all."""
    parts: tuple[frozenset[int], ...]
    """After which calls a batch reports what it has done so far."""
    order: tuple[int, ...]
    """Which of the batches under way comes back."""


ALONE = Partition((1,), (None,), (frozenset(),), (0,))
FATES = st.lists(
    st.sampled_from(["good", "good", "bad", "once", "state", "named"]), min_size=1, max_size=20
)
STAGES = st.lists(
    st.builds(Stage, st.sampled_from([*KINDS]), st.integers(1, 3), st.booleans()),
    min_size=1,
    max_size=5,
)
MOSTLY_ALL = st.sampled_from([None, None, None, 1, 2, 3, 5, 7])
PARTITIONS = st.builds(
    Partition,
    st.lists(MOSTLY_ALL, min_size=1, max_size=5).map(tuple),
    st.lists(MOSTLY_ALL, min_size=1, max_size=8).map(tuple),
    st.lists(st.frozensets(st.integers(0, 40)), min_size=1, max_size=4).map(tuple),
    st.lists(st.integers(0, 9), min_size=1, max_size=8).map(tuple),
)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunStore]:
    path: Path = tmp_path_factory.mktemp("store") / "runs.db"
    with contextlib.closing(open_store(path)) as opened:
        yield opened


def trace(
    run: SimulatedRun, fates: list[str], stages: list[Stage], sizes: Iterator[int | None]
) -> list[FutureList[Any]]:
    """Maps over maps, over fates that are known, or only once a task has returned them."""
    pairs = list(enumerate(fates))
    later = TaskFuture[Any](trace_submit(run.graph, listed, (pairs,), {}, None))
    made: list[FutureList[Any]] = []
    for kind, back, is_dynamic in stages:
        over: Any = made[-back] if back <= len(made) else later if is_dynamic else pairs
        over = allow_failure(over) if kind == "allowing" and over is not pairs else over
        one = KINDS[kind].with_options(batch_size=next(sizes))
        made.append(FutureList(node=trace_map(run.graph, one, (over,), {}, None)))
    return made


def outcome(
    store: RunStore, fates: list[str], stages: list[Stage], partition: Partition
) -> list[Any]:
    """All that anyone can know of a run, but times and workers."""
    run = SimulatedRun(run_id=fresh_run_id())
    made = trace(run, fates, stages, itertools.cycle(partition.sizes))
    run.trace()
    cuts, parts = itertools.cycle(partition.cuts), itertools.cycle(partition.parts)
    order = itertools.cycle(partition.order)
    while run.under_way or run.retries:
        if run.under_way:
            run.carry_out(next(order), next(cuts), next(parts))
        else:
            run.finish_retries()
    store.write([run_record(run.graph.run_id), *run.records])
    never = {at for at, code in run.announced_states().items() if code == StateCode.NOT_READY}
    assert run.begun.keys() == run.announced_states().keys() - never
    return [_recorded(run), run.begun, list(map(_told, made)), *_kept(store, run.graph.run_id)]


def _recorded(run: SimulatedRun) -> list[Any]:
    """Every state that was recorded of each task run, in its order."""
    return sorted(run.recorded_states().items())


def _told(futures: FutureList[Any]) -> list[tuple[int, Any]]:
    """What futures show: states, and the values or exceptions."""
    node: Any = futures._node
    return [
        (code, results.value_of(node, at))
        if code == StateCode.COMPLETED
        else (code, repr(results.exception_of(node, at)))
        for at, code in enumerate(node.codes)
    ]


def _kept(store: RunStore, run_id: str) -> list[Any]:
    """What the store has: nodes, failures, and each element with its attempts and its own logs."""
    nodes = store.nodes(run_id)
    elements = [
        store.element(run_id, node.node, at) for node in nodes for at in range(node.length or 1)
    ]
    return [
        [(node.name, node.length, dict(node.codes)) for node in nodes],
        [(each.node, each.index, each.message) for each in store.failures(run_id, limit=None)],
        [
            (
                each.name,
                (each.state.type, each.state.name, each.state.message),
                [(a.attempt, a.state.name, a.message, a.exception_type) for a in each.attempts],
                # of each node the first few failures are logged too, whichever these are
                [(line.attempt, line.message) for line in each.logs if line.level == logging.INFO],
            )
            for each in elements
        ],
    ]


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(fates=FATES, stages=STAGES, partition=PARTITIONS)
def test_any_partition_of_the_elements_gives_the_same_records_logs_and_results(
    store: RunStore, fates: list[str], stages: list[Stage], partition: Partition
) -> None:
    assert outcome(store, fates, stages, partition) == outcome(store, fates, stages, ALONE)
