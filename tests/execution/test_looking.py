"""When the run loop takes what was traced: 50 ms later, and nothing wakes it before that."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from dataflow import flow, task
from dataflow.execution.scope import active_scope


@task
def double(element: int) -> int:
    return 2 * element


@pytest.fixture(autouse=True)
def a_long_while(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its time does not come by itself, however slow the machine is."""
    monkeypatch.setattr("dataflow.execution.loop.run_loop.SEGMENT_SECONDS", 3600.0)


def test_the_first_calls_of_a_body_wake_no_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    woken: list[Callable[[], None]] = []

    @flow(task_runner="threads")
    def body() -> list[int]:
        loop, me = active_scope().loop, threading.get_ident()
        post = loop.post

        def noted(message: Callable[[], None]) -> None:
            if threading.get_ident() == me:
                woken.append(message)
            post(message)

        with monkeypatch.context() as patched:
            patched.setattr(loop, "post", noted)
            futures, one = double.map(range(3)), double.submit(3)
        return [*futures.result(), one.result()]

    assert body() == [0, 2, 4, 6]
    assert not woken


def test_it_looks_when_the_run_has_just_begun_and_leaves_what_is_new() -> None:
    """A map that was traced a moment before and the one over it stay together."""

    @flow(task_runner="threads")
    def body() -> list[int]:
        scope = active_scope()
        loop, graph = scope.loop, scope.graph
        futures = double.map(double.map(range(3)))
        loop.call(lambda: loop._look(graph))
        assert len(graph.fresh) == 2
        graph.fresh[0].created_ns -= 3600 * 10**9
        loop.call(lambda: loop._look(graph))
        assert not graph.fresh
        more = double.map(range(2))  # it had looked: this has it look again
        assert graph.is_looked_at
        return [*futures.result(), *more.result()]

    assert body() == [0, 4, 8, 0, 2]
