"""Values that take more than the memory of Dask's workers: they go to disk, and nothing is lost."""

from __future__ import annotations

from collections.abc import Sized
from typing import Any

import pytest

from dataflow import flow, task
from runners.dask import DaskTaskRunner
from tests.runners.dask.pool import client_of

VALUES, VALUE_BYTES = 12, 1_000_000


@task
def make(number: int) -> bytes:
    return bytes([number]) * VALUE_BYTES


@task
def look(value: bytes) -> tuple[int, int]:
    return value[0], len(value)


def spilled(dask_worker: Any) -> int:
    """How many values a worker has on disk."""
    on_disk: Sized = dask_worker.data.slow
    return len(on_disk)


def test_values_that_exceed_the_memory_of_workers_go_to_disk(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("DASK_DISTRIBUTED__WORKER__MEMORY__TARGET", "0.001")  # of the limit: 4 MB
    sizes = {"n_workers": 1, "threads_per_worker": 1, "memory_limit": 4 * 10**9}
    with DaskTaskRunner(cluster_kwargs=sizes) as runner:

        @flow(task_runner=runner)
        def wide() -> tuple[int, list[tuple[int, int]]]:
            values = [make.submit(number) for number in range(VALUES)]
            for value in values:
                value.wait()
            (on_disk,) = client_of(runner).run(spilled).values()
            looked = [look.submit(value) for value in values]
            return on_disk, [each.result() for each in looked]

        on_disk, found = wide()
        assert found == [(number, VALUE_BYTES) for number in range(VALUES)]
        assert on_disk > 0
