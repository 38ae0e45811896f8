"""Constants come to a cluster though workers that they are sent to end just then."""

from __future__ import annotations

import pytest
from distributed.comm import CommClosedError

from dataflow import flow, task
from runners.dask import DaskTaskRunner
from runners.dask.constants import Constants
from tests.runners.dask.pool import client_of, shared_runner

DATA = b"constant" * 1000


@task
def same(number: int) -> int:
    return number


@flow(task_runner="dask")
def warm_up() -> list[int]:
    return same.map(range(4)).result()


@pytest.fixture
def runner() -> DaskTaskRunner:
    warm_up()
    return shared_runner()


class EndingWorkers:
    """Dask's scatter, of which the first few calls come upon a worker that ends."""

    def __init__(self, runner: DaskTaskRunner, patch: pytest.MonkeyPatch, ending: int) -> None:
        self.calls = 0
        self.ending = ending
        self.client = client_of(runner)
        self._scatter = self.client.scatter
        patch.setattr(self.client, "scatter", self._call)

    def _call(self, *args: object, **kwargs: object) -> object:
        self.calls += 1
        if self.calls <= self.ending:
            raise CommClosedError("a worker has ended")
        return self._scatter(*args, **kwargs)


@pytest.mark.parametrize("ending", [0, 1, 3, 1000])
def test_workers_that_end_as_they_are_sent_a_constant(
    runner: DaskTaskRunner, monkeypatch: pytest.MonkeyPatch, ending: int
) -> None:
    workers = EndingWorkers(runner, monkeypatch, ending)
    constant, future = Constants(workers.client, lambda: True).put(DATA)
    assert future.key == constant.key
    assert future.result(timeout=60) == DATA
    assert workers.calls == min(ending + 1, 5)


def test_a_constant_is_renewed_by_workers_that_stay(
    runner: DaskTaskRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    constants = Constants(client_of(runner), lambda: True)
    constant, _ = constants.put(DATA)
    workers = EndingWorkers(runner, monkeypatch, 2)
    assert constants.renew(constant.key)
    assert workers.calls == 3
    workers.ending = 1000
    assert not constants.renew(constant.key)


def test_without_workers_nothing_is_sent_ahead(
    runner: DaskTaskRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    workers = EndingWorkers(runner, monkeypatch, 0)
    constant, future = Constants(workers.client, lambda: False).put(DATA)
    assert future.result(timeout=60) == DATA
    assert constant.key == future.key
    assert workers.calls == 0
