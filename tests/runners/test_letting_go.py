"""What a batch was given and made leaves its worker with its report, and not with the garbage."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from dataflow import ProcessPoolTaskRunner, flow
from tests.runners import held
from tests.runners.programs import wait_until

SIZE = 40


@pytest.fixture(params=["processes", "dask"])
def workers(request: pytest.FixtureRequest) -> Iterator[Any]:
    """Workers of this test's own: it turns off their collection of garbage."""
    if request.param == "dask":
        yield request.getfixturevalue("own")
    else:
        with ProcessPoolTaskRunner(max_workers=2) as pool:
            yield pool


def calls() -> None:
    used = [held.use.submit(held.pass_on.submit(held.make.submit(n))) for n in range(SIZE)]
    assert [each.result() for each in used] == list(range(SIZE))


def elements() -> None:
    assert held.use.map(held.make.map(range(SIZE))).result() == list(range(SIZE))


def elements_with_a_time_limit() -> None:
    limited = held.pass_on.with_options(timeout_seconds=60)
    assert held.use.map(limited.map(held.make.map(range(SIZE)))).result() == list(range(SIZE))


def concurrent_calls() -> None:
    assert held.use.map(held.make_async.map(range(SIZE))).result() == list(range(SIZE))


def failures() -> None:
    refused = held.refuse.map(held.make.map(range(SIZE)))
    refused.wait()
    assert all(state.is_failed() for state in refused.states())


def failures_of_every_attempt() -> None:
    again = held.refuse.with_options(retries=2)
    refused = [again.submit(held.make.submit(number)) for number in range(SIZE)]
    refused[-1].wait()
    assert refused[-1].state.is_failed()


def concurrent_failures() -> None:
    again = held.refuse_async.with_options(retries=2)
    refused = again.map(held.make.map(range(SIZE)))
    refused.wait()
    assert all(state.is_failed() for state in refused.states())


WORK = [calls, elements, elements_with_a_time_limit, concurrent_calls]
FAILURES = [failures, failures_of_every_attempt, concurrent_failures]


@pytest.mark.parametrize("work", [*WORK, *FAILURES])
def test_nothing_is_held(workers: Any, work: Callable[[], None]) -> None:
    flow(work, name="work", task_runner=workers, fail_on_unhandled=False)()

    def left() -> list[int]:
        return held.count.map(range(2 * SIZE)).result()

    look = flow(left, name="look", task_runner=workers)
    wait_until(lambda: not any(look()), "workers still hold values")
