"""dataflow itself; the option is the runner: `processes` or `dask`.

Every flow run is recorded in a store of its own home, and logs go where they go by default.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def identity(x: int) -> int:
    return x


def increment(x: int) -> int:
    return x + 1


class Rival:
    def __init__(self, option: str, home: str, workers: int) -> None:
        self.option, self.workers = option, workers
        self.runner: Any = None
        os.environ["DATAFLOW_HOME"] = f"{home}/dataflow"

    def load(self) -> None:
        from dataflow import flow, task  # noqa: F401

    def distributions(self) -> tuple[str, ...]:
        if self.option != "dask":
            return ("dataflow-runtime",)
        import runners.dask  # noqa: F401

        return ("dataflow-runtime", "dask", "distributed")

    def open(self) -> None:
        from dataflow import DaskTaskRunner, ProcessPoolTaskRunner, flow, task

        if self.option == "dask":
            self.runner = DaskTaskRunner(
                cluster_kwargs={"n_workers": self.workers, "threads_per_worker": 1}
            )
        else:
            self.runner = ProcessPoolTaskRunner(max_workers=self.workers)
        one = task(identity)
        more = task(increment)

        @flow(task_runner=self.runner)
        def mapped(n: int) -> list[int]:
            return one.map(range(n)).result()

        @flow(task_runner=self.runner)
        def mapped_each(n: int) -> list[int]:
            return [future.result() for future in one.map(range(n))]

        @flow(task_runner=self.runner)
        def submitted(n: int) -> list[int]:
            futures = [one.submit(x) for x in range(n)]
            return [future.result() for future in futures]

        @flow(task_runner=self.runner)
        def chained(n: int) -> int:
            future = more.submit(0)
            for _ in range(n - 1):
                future = more.submit(future)
            return future.result()

        self.flows: dict[str, Any] = {
            "map": mapped,
            "map_each": mapped_each,
            "submit": submitted,
            "chain": chained,
        }

    def map(self, n: int) -> list[int]:
        values: list[int] = self.flows["map"](n)
        return values

    def map_each(self, n: int) -> list[int]:
        values: list[int] = self.flows["map_each"](n)
        return values

    def submit(self, n: int) -> list[int]:
        values: list[int] = self.flows["submit"](n)
        return values

    def chain(self, n: int) -> int:
        value: int = self.flows["chain"](n)
        return value

    def check_records(self, n: int) -> None:
        from dataflow import records

        counts = [node.counts for node in records.runs(limit=1)[0].nodes()]
        completed = sum(count.get("Completed", 0) for count in counts)
        assert completed == n, f"{completed} of {n} elements are recorded as completed"

    def close(self) -> None:
        """A program that ends does nothing more than this either."""
