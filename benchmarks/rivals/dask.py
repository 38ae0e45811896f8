"""Dask's own futures on a `LocalCluster` of processes, its scheduler in the measured process."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from benchmarks.calls import Call


def identity(x: int) -> int:
    return x


def increment(x: int) -> int:
    return x + 1


class Rival:
    client: Any = None
    cluster: Any = None
    graphs = 0

    def __init__(self, option: str, home: str, workers: int) -> None:
        self.home, self.workers = home, workers

    def load(self) -> None:
        import distributed  # noqa: F401

    def distributions(self) -> tuple[str, ...]:
        return ("dask", "distributed")

    def open(self) -> None:
        import distributed

        local_cluster: Any = distributed.LocalCluster
        self.cluster = local_cluster(
            n_workers=self.workers,
            threads_per_worker=1,
            processes=True,
            dashboard_address=None,
            local_directory=self.home,
        )
        client: Any = distributed.Client
        self.client = client(self.cluster)

    def map(self, n: int) -> list[int]:
        futures = self.client.map(identity, range(n), pure=False)
        values: list[int] = self.client.gather(futures)
        return values

    def map_each(self, n: int) -> list[int]:
        futures = self.client.map(identity, range(n), pure=False)
        return [future.result() for future in futures]

    def submit(self, n: int) -> list[int]:
        futures = [self.client.submit(identity, x, pure=False) for x in range(n)]
        return [future.result() for future in futures]

    def chain(self, n: int) -> int:
        future = self.client.submit(increment, 0, pure=False)
        for _ in range(n - 1):
            future = self.client.submit(increment, future, pure=False)
        value: int = future.result()
        return value

    def map_function(self, function: Callable[[Any], Any], items: Sequence[Any]) -> list[Any]:
        values: list[Any] = self.client.gather(self.client.map(function, items, pure=False))
        return values

    def graph(self, calls: Sequence[Call], wanted: Sequence[int]) -> list[Any]:
        tasks, keys = self._named(calls)
        values: list[Any] = self.client.get(tasks, [keys[number] for number in wanted])
        return values

    def _named(self, calls: Sequence[Call]) -> tuple[dict[Any, Any], list[Any]]:
        """A graph as Dask writes one, and the keys of its tasks."""
        self.graphs += 1
        keys = [
            (f"{call.function.__name__}-{self.graphs}", number) for number, call in enumerate(calls)
        ]
        tasks = {
            key: (call.function, *call.arguments, *(keys[found] for found in call.dependencies))
            for key, call in zip(keys, calls, strict=True)
        }
        return tasks, keys

    def map_thrice(self, n: int) -> list[int]:
        futures: Any = range(n)
        for _ in range(3):
            futures = self.client.map(identity, futures, pure=False)
        values: list[int] = self.client.gather(futures)
        return values

    def timed_maps(self, n: int) -> tuple[float, float, float, list[int]]:
        from time import perf_counter

        started = perf_counter()
        futures = self.client.map(identity, range(n), pure=False)
        called = perf_counter()
        others = self.client.map(identity, range(n), pure=False)
        called_again = perf_counter()
        futures[0].result()
        first = perf_counter()
        values = self.client.gather(futures)
        assert self.client.gather(others) == values
        return called - started, called_again - called, first - started, values

    def timed_submits(self, n: int) -> tuple[float, list[int]]:
        from time import perf_counter

        started = perf_counter()
        futures = [self.client.submit(identity, x, pure=False) for x in range(n)]
        seconds = perf_counter() - started
        return seconds, self.client.gather(futures)

    def branch(self, n: int, calls: Sequence[Call]) -> tuple[float, list[int]]:
        from time import perf_counter

        mapped = self.client.map(identity, range(n), pure=False)
        started = perf_counter()
        self.graph(calls, [len(calls) - 1])
        seconds = perf_counter() - started
        return seconds, self.client.gather(mapped)

    def scheduler_pid(self) -> int | None:
        return None

    def bytes_through_flow(self) -> int | None:
        return None

    def hash_value(self, value: Any) -> Any:
        from dask.base import tokenize

        named: Any = tokenize
        return named(value)

    def check_records(self, n: int) -> None:
        """It keeps none."""

    def close(self) -> None:
        if self.client is not None:
            self.client.close()
            self.cluster.close()
