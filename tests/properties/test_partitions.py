"""However the elements are shared out into batches, the states, results, logs and records agree."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dataflow import allow_failure, flow, get_run_logger, records, runtime, task

FATES = st.lists(
    st.sampled_from(["good", "good", "bad", "once", "state", "named", "unpicklable"]),
    min_size=1,
    max_size=25,
)
SIZES = st.none() | st.integers(1, 8)  # None: whatever the planner thinks best, and fused
Sizes = tuple[int | None, int | None]
Outcome = list[Any]


@task(retries=1, task_run_name="{x[1]} {x[0]}")
def lives(x):
    from dataflow import Completed, Failed

    number, fate = x
    get_run_logger().info("attempt %s at %s", runtime.task_run.run_count, number)
    if fate == "bad" or (fate == "once" and runtime.task_run.run_count == 1):
        raise ValueError(f"{fate} {number}")
    if fate == "state":
        return Failed(message=f"state {number}")
    if fate == "named":
        return Completed(name="Named", message=f"named {number}", data=number)
    return (n for n in range(number)) if fate == "unpicklable" else number


@task
def follows(x):
    get_run_logger().info("follows %s", x)
    return x + 1 if isinstance(x, int) else 1


@task
def allows(x):
    return type(x).__name__


def _is_own(line: records.LogEntry) -> bool:
    """Whether the task itself wrote it: of each node only the first few failures are logged."""
    return line.level == logging.INFO


def _outcome(fates: list[str], runner: str, sizes: Sizes) -> Outcome:
    """All that anyone can know of a run, but times, ids and workers."""
    first, second = sizes

    @flow(name="partitioned", task_runner=runner, fail_on_unhandled=False)
    def partitioned():
        made = lives.with_options(batch_size=first).map(list(enumerate(fates)))
        after = follows.with_options(batch_size=second).map(made)
        last = allows.with_options(batch_size=second).map(allow_failure(made))
        found = []
        for futures in (made, after, last):
            futures.wait()
            values = map(repr, futures.result(raise_on_failure=False))
            states = [(s.type, s.name, s.message) for s in futures.states()]
            found.append([*zip(values, states, strict=True)])
        return found

    told = partitioned()
    run = records.runs(flow_name="partitioned", limit=1)[0]
    kept: Outcome = []
    for node in run.nodes():
        kept.append((node.name, node.length, dict(sorted(node.counts.items()))))
        for index in range(len(fates)):
            element = run.element(node.node, index)
            kept.append(
                (
                    element.name,
                    element.state.name,
                    element.state.message,
                    [(a.attempt, a.state.name, a.exception_type) for a in element.attempts],
                    [(line.attempt, line.message) for line in element.logs if _is_own(line)],
                )
            )
    failures = [(f.node, f.index, f.name, f.message) for f in run.failures(limit=None)]
    return [told, kept, failures]


@pytest.mark.parametrize("runner", ["inline", "threads", "processes"])
@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
@given(fates=FATES, sizes=st.tuples(SIZES, SIZES))
def test_any_partition_gives_the_same(runner: str, fates: list[str], sizes: Sizes) -> None:
    # what does not leave the process, or its batch, need not be pickled
    if runner != "processes" or None in sizes:
        fates = ["good" if fate == "unpicklable" else fate for fate in fates]
    alone = _outcome(fates, runner, (1, 1))
    assert _outcome(fates, runner, sizes) == alone


@settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck))
@given(fates=FATES, sizes=st.tuples(SIZES, SIZES))
def test_every_runner_gives_the_same(fates: list[str], sizes: Sizes) -> None:
    fates = ["good" if fate == "unpicklable" else fate for fate in fates]
    expected = _outcome(fates, "inline", sizes)
    for runner in ("threads", "processes"):
        assert _outcome(fates, runner, sizes) == expected
