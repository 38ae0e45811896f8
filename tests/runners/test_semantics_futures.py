"""Semantics, futures: results, waiting, callbacks, lists of futures, the order of completion."""

from __future__ import annotations

import gc
import threading
from pathlib import Path
from typing import Any

import pytest

from dataflow import FutureList, TaskFuture, as_completed, flow, task, wait
from dataflow.errors import UpstreamTaskError
from tests.runners.programs import wait_until
from tests.runners.stored import run_of

pytestmark = pytest.mark.usefixtures("runner")


@task
def double(x):
    return 2 * x


@task
def fail(x=0):
    raise ValueError(f"bad {x}")


@task
def fail_odd(x):
    if x % 2:
        raise ValueError(f"odd {x}")
    return x


@task
def until(path):
    """Ends when a file is there; without one at once."""
    if path is not None:
        wait_until(Path(path).exists, "nobody let it end")
    return 0


@task
def same(x):
    return x


# --- one future ----------------------------------------------------------------------------------


@flow
def one_future():
    future = double.submit(4)
    assert isinstance(future, TaskFuture)
    assert future.wait() is None
    assert future.done()
    assert future.state.is_completed()
    assert future.result() == future.result(timeout=1) == future.state.result() == 8
    assert future.task_run_name == "double-0"
    assert str(future.task_run_id)
    assert future == future
    assert len({future, double.submit(4)}) == 2
    return True


def test_a_future() -> None:
    assert one_future()


@flow
def a_failed_future():
    future = fail.submit(3)
    future.wait()
    assert future.done()
    with pytest.raises(ValueError, match="bad 3"):
        future.result()
    error: Any = future.result(raise_on_failure=False)
    assert isinstance(error, ValueError)
    return future.state.name, future.state.type.value, future.state.message


def test_a_failed_future() -> None:
    said = "Task run encountered an exception ValueError: bad 3"
    assert a_failed_future() == ("Failed", "FAILED", said)


@flow
def not_ready():
    first = fail.submit(3)
    second = double.submit(first)
    third = double.submit([second])
    mapped = double.map([second, 1])
    found = []
    for future in (second, third, mapped[0]):
        with pytest.raises(UpstreamTaskError) as caught:
            future.result()
        assert isinstance(caught.value.__cause__, ValueError)
        assert caught.value.__cause__.args == ("bad 3",)
        assert isinstance(future.result(raise_on_failure=False), UpstreamTaskError)
        found.append((future.state.name, future.state.type.value, str(caught.value)))
    assert mapped[1].result() == 2
    return found


def test_what_needs_a_failed_run_is_not_ready_and_says_why() -> None:
    found = not_ready()
    assert {(name, kind) for name, kind, _ in found} == {("NotReady", "PENDING")}
    for (_, _, message), own in zip(found, ("double-0", "double-1", "double-2[0]"), strict=True):
        assert f"'{own}'" in message
        assert "'fail-0'" in message
        assert "ValueError: bad 3" in message
    element = run_of(not_ready).element("double-0")
    assert element.state.name == "NotReady"
    assert "fail-0" in (element.state.message or "")


@flow
def times_out(path):
    future = until.submit(path)
    mapped = until.map([path])
    with pytest.raises(TimeoutError, match=r"'until-0'.* 0\.05 second"):
        future.result(timeout=0.05)
    with pytest.raises(TimeoutError, match=r"until-1"):
        mapped.result(timeout=0.05)
    future.wait(timeout=0.05)
    mapped.wait(timeout=0.05)
    assert not future.done()
    Path(path).touch()
    return future, mapped


def test_a_wait_that_takes_too_long(runner: str, tmp_path: Path) -> None:
    if runner == "inline":
        pytest.skip("inline runs tasks when they are submitted")
    assert times_out(str(tmp_path / "go")) == (0, [0])


@flow
def callbacks():
    called: list[Any] = []
    done = threading.Event()

    def note(future):
        called.append((future.task_run_name, future.state.name))
        if len(called) == 4:
            done.set()

    futures = [double.submit(1), fail.submit(1), *double.map([5])]
    for future in futures:
        future.add_done_callback(note)
    wait(futures)
    futures[0].add_done_callback(note)  # it has ended: at once
    assert done.wait(60)
    return called


def test_callbacks() -> None:
    called = callbacks()
    assert called[-1] == ("double-0", "Completed")
    assert sorted(called) == [
        ("double-0", "Completed"),
        ("double-0", "Completed"),
        ("double-1[0]", "Completed"),
        ("fail-0", "Failed"),
    ]


# --- lists of futures ----------------------------------------------------------------------------


@flow
def a_list():
    futures = double.map(range(10))
    assert isinstance(futures, FutureList)
    assert len(futures) == 10
    assert bool(futures)
    assert futures.wait() is None
    assert futures.result() == [2 * n for n in range(10)]
    assert [future.result() for future in futures] == futures.result()
    assert futures[3].result() == 6
    assert futures[-1].result() == 18
    assert futures[2:4].result() == [4, 6]
    assert isinstance(futures[2:4], FutureList)
    assert futures[::-2].result() == [18, 14, 10, 6, 2]
    assert next(reversed(futures)) == futures[-1]
    assert futures[3] in futures
    assert futures.index(futures[4]) == 4
    assert [state.name for state in futures.states()] == ["Completed"] * 10
    assert not futures.failed()
    assert futures[1].task_run_name == "double-0[1]"
    with pytest.raises(IndexError):
        futures[10]
    return futures


def test_a_future_list_is_like_a_list() -> None:
    assert a_list() == [2 * n for n in range(10)]


def future_objects():
    gc.collect()
    return sum(type(each) is TaskFuture for each in gc.get_objects())


@flow
def a_long_map():
    before = future_objects()
    futures = double.map(range(3000))
    values, half = futures.result(), futures[:1500]
    made = future_objects() - before
    kept = [futures[7], half[8]]
    return sum(values), len(half), made, future_objects() - before - len(kept)


def test_a_future_is_made_when_it_is_asked_for() -> None:
    assert a_long_map() == (sum(range(0, 6000, 2)), 1500, 0, 0)


@flow
def changed_lists():
    futures = double.map(range(4))
    other = futures[:2]
    other.insert(0, double.submit(50))
    other[1] = double.submit(60)
    del other[2]
    popped = futures.pop()
    futures.remove(futures[0])
    futures.reverse()
    return other, popped, futures, sum(f.result() for f in [*futures, popped])


def test_a_future_list_changes_like_a_list() -> None:
    assert changed_lists() == ([100, 120], 6, [4, 2], 12)


@flow
def lists_of_unknown_length():
    lengths = []
    futures = double.map(same.submit([1, 2, 3]))
    again = double.map(futures)
    lengths.append(len(again))
    lengths.append(len(futures))
    return [f.result() for f in again], lengths, again[-1], double.map(futures[1:])


def test_lists_whose_length_is_not_known_yet() -> None:
    assert lists_of_unknown_length() == ([4, 8, 12], [3, 3], 12, [8, 12])


@flow
def failed_lists():
    futures = fail_odd.map(range(6))
    with pytest.raises(ValueError, match="odd 1"):
        futures.result()
    with pytest.raises(ValueError, match="odd 3"):
        futures[2:].result()
    values = futures.result(raise_on_failure=False)
    failed = [future.task_run_name for future in futures.failed()]
    return [repr(value) for value in values], failed, [s.name for s in futures.states()]


def test_the_failure_with_the_lowest_index_is_raised() -> None:
    values, failed, states = failed_lists()
    assert values == [f"ValueError('odd {n}')" if n % 2 else repr(n) for n in range(6)]
    assert failed == ["fail_odd-0[1]", "fail_odd-0[3]", "fail_odd-0[5]"]
    assert states == ["Completed", "Failed"] * 3


# --- wait and as_completed -----------------------------------------------------------------------


@flow
def waits():
    futures = [double.submit(1), fail.submit(1)]
    mapped = double.map([1, 2])
    done, not_done = wait([*futures, mapped])
    assert (len(done), not_done) == (4, set())
    result = wait(futures)
    assert result.done == set(futures)
    assert result.not_done == set()
    futures[1].state
    return True


def test_wait() -> None:
    assert waits()


@flow
def waits_too_short(path):
    slow, quick = until.submit(path), double.submit(1)
    quick.wait()
    done, not_done = wait([slow, quick], timeout=0.05)
    Path(path).touch()
    return done == {quick}, not_done == {slow}


def test_wait_with_a_timeout(runner: str, tmp_path: Path) -> None:
    if runner == "inline":
        pytest.skip("inline runs tasks when they are submitted")
    assert waits_too_short(str(tmp_path / "go")) == (True, True)


@flow
def in_order_of_completion():
    futures = [double.submit(n) for n in range(3)]
    mapped = double.map(range(10, 20))
    found = [future.result() for future in as_completed([*futures, mapped])]
    assert list(as_completed([])) == []
    return sorted(found)


def test_as_completed_gives_each_future_once() -> None:
    assert in_order_of_completion() == [0, 2, 4, *range(20, 40, 2)]


@flow
def while_running(path):
    futures = until.with_options(batch_size=1).map([None, None, None, path, path, path, path])
    first = next(iter(as_completed(futures)))
    value, rest = first.result(), [future.done() for future in futures]
    Path(path).touch()
    return value, all(rest)


def test_as_completed_while_the_map_is_running(runner: str, tmp_path: Path) -> None:
    if runner == "inline":
        pytest.skip("inline runs tasks when they are submitted")
    assert while_running(str(tmp_path / "go")) == (0, False)


@flow
def too_slow(path):
    futures = [until.submit(path), double.submit(1)]
    futures[1].wait()  # however long that takes on a machine that is busy
    found = []
    with pytest.raises(TimeoutError, match="1 futures"):
        for future in as_completed(futures, timeout=0.2):
            found += [future.result()]
    Path(path).touch()
    return [*found, futures[0].result()]


def test_as_completed_with_a_timeout(runner: str, tmp_path: Path) -> None:
    if runner == "inline":
        pytest.skip("inline runs tasks when they are submitted")
    assert too_slow(str(tmp_path / "go")) == [2, 0]
