"""What people really write, cases 1, 2, 3 and 12: calls, their values, and how bodies use them."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from dataflow import Completed, Failed, allow_failure, flow, task
from dataflow.errors import FailedRun, UpstreamTaskError
from tests.runners.conftest import every_batch_size
from tests.runners.stored import counts_of, run_of

pytestmark = [pytest.mark.usefixtures("runner"), every_batch_size]


@task
def double(x):
    return 2 * x


@task
def add(x, y=0):
    return x + y


@task
def fail(x=0):
    raise ValueError(f"bad {x}")


@task
def total(values):
    return sum(value for value in values if not isinstance(value, Exception))


# --- 1: nobody awaits ----------------------------------------------------------------------------


@flow
def submits_and_leaves():
    for number in range(5):
        double.submit(number)
    double.map(range(20))
    chained = double.submit(1)
    add.submit(chained, double.submit(chained))


def test_what_nobody_awaits_has_ended_before_the_flow_ends() -> None:
    assert submits_and_leaves() is None
    counts = counts_of(submits_and_leaves)
    assert counts.pop("double-5") == {"Completed": 20}
    assert set(map(tuple, (c.items() for c in counts.values()))) == {(("Completed", 1),)}
    assert len(counts) == 8
    run = run_of(submits_and_leaves)
    last = max(run.element(node.node).ended_ns or 0 for node in run.nodes())
    assert run.ended is not None
    assert last <= (run.summary.ended_ns or 0)


@flow
def helper_submits():
    def helper(number):
        return double.submit(number)

    class Loader:
        def load(self, number):
            helper(number)
            return double.map([number])

    Loader().load(1)
    [helper(n) for n in range(3)]


def test_helpers_closures_and_methods_submit_too() -> None:
    helper_submits()
    assert len(counts_of(helper_submits)) == 5


# --- 2: bare calls give the very object ----------------------------------------------------------


class Record:
    def __init__(self) -> None:
        self.rows: list[int] = []


_made: list[Any] = []


@task
def make(kind):
    made = {
        "none": lambda: None,
        "record": Record,
        "list": lambda: [0, 1, 2, 3],
        "pair": lambda: (1, "two"),
        "dict": lambda: {"type": "circle", "radius": 2},
    }[kind]()
    _made.append(made)
    return made


@task
def count_rows(record):
    return len(record.rows)


@flow
def uses_values():
    assert make("none") is None
    record = make("record")
    assert record is _made[-1]
    assert isinstance(record, Record)
    record.rows.append(7)
    assert count_rows(record) == 1  # changed after it was returned: the next call sees that
    first, second = make("pair")
    match make("dict"):
        case {"type": "circle", "radius": radius}:
            found = radius
    head, *tail = make("list")
    if not make("none"):
        found += 1
    text = f"{double(4)}/{len(make('list'))}"
    summed = [double(n) for n in make("list")]
    while double(found) < 20:
        found += 1
    return first, second, found, (head, tail), text, summed


def test_bare_calls_return_the_real_object() -> None:
    assert uses_values() == (1, "two", 10, (0, [1, 2, 3]), "8/4", [0, 2, 4, 6])


_order: list[str] = []


@task
def step(name):
    _order.append(name)


@flow
def ordered_steps():
    _order.clear()
    for name in "abcdef":
        step(name)
    return list(_order)


def test_bare_calls_whose_result_is_thrown_away_run_in_order() -> None:
    assert ordered_steps() == list("abcdef")
    run = run_of(ordered_steps)
    ended = [run.element(node.node).ended_ns or 0 for node in run.nodes()]
    assert all(earlier <= later for earlier, later in itertools.pairwise(ended))


# --- 3: futures as arguments of bare calls -------------------------------------------------------


@flow
def resolves():
    one = double.submit(1)
    many = [double.submit(n) for n in range(4)]
    mapped = double.map(range(4))
    return (
        add(one, one),
        total(many),
        total(mapped),
        total(mapped[1:3]),
        total(allow_failure([double.submit(5), fail.submit(), one])),
        add(x=one, y=double(3)),
    )


def test_bare_calls_wait_for_and_resolve_futures() -> None:
    assert resolves() == (4, 12, 12, 6, 12, 8)


@flow
def resolves_a_failure():
    broken = fail.submit(3)
    try:
        total([double.submit(1), broken])
    except UpstreamTaskError as error:
        return str(error), repr(error.__cause__)
    return None


def test_a_bare_call_with_a_failed_argument_raises() -> None:
    message, cause = resolves_a_failure()
    assert "total-0" in message
    assert cause == "ValueError('bad 3')"
    assert counts_of(resolves_a_failure)["total-0"] == {"NotReady": 1}


# --- 12: states as results, raising, try and finally ---------------------------------------------


@task
def returns_state(good):
    return Completed(message="all well", data=5) if good else Failed(message="not today")


@flow
def with_states():
    good = returns_state.submit(True)
    bad = returns_state.submit(False)
    errors = []
    for future in (good, bad):
        try:
            future.result()
        except FailedRun as error:
            errors.append(str(error))
    return good.result(), good.state.message, bad.state.message, errors


def test_tasks_return_states() -> None:
    value, said, bad, errors = with_states()
    assert (value, said, bad) == (5, "all well", "not today")
    assert len(errors) == 1
    assert "not today" in errors[0]
    run = run_of(with_states)
    assert [run.element(node).state.message for node in (0, 1)] == ["all well", "not today"]


@flow
def returns_failed():
    return Failed(message="no data today")


@flow
def returns_completed():
    return Completed(message="nothing to do", data=[1])


def test_flows_return_states() -> None:
    with pytest.raises(FailedRun, match="no data today"):
        returns_failed()
    assert returns_completed() == [1]
    assert run_of(returns_failed).state.message == "no data today"
    assert run_of(returns_completed).state.message == "nothing to do"


@flow
def raises_in_the_body():
    double.submit(1)
    raise KeyError("missing")


def test_the_body_raises() -> None:
    with pytest.raises(KeyError, match="missing"):
        raises_in_the_body()
    assert run_of(raises_in_the_body).state.is_failed()
    assert counts_of(raises_in_the_body) == {"double-0": {"Completed": 1}}


@flow
def tries_in_a_loop():
    futures = {n: (fail if n % 2 else double).submit(n) for n in range(4)}
    good, bad = {}, {}
    for number, future in futures.items():
        try:
            good[number] = future.result()
        except ValueError as error:
            bad[number] = str(error)
    return good, bad


def test_try_around_result_in_a_loop() -> None:
    assert tries_in_a_loop() == ({0: 0, 2: 4}, {1: "bad 1", 3: "bad 3"})
    assert run_of(tries_in_a_loop).state.is_completed()


@flow
def tries_and_finally():
    try:
        fail.submit(1).result()
    finally:
        double.submit(4)


def test_try_finally_around_submits() -> None:
    with pytest.raises(ValueError, match="bad 1"):
        tries_and_finally()
    assert counts_of(tries_and_finally) == {"fail-0": {"Failed": 1}, "double-0": {"Completed": 1}}
