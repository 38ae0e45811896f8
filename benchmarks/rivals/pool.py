"""`concurrent.futures.ProcessPoolExecutor`; the option is the chunk size of its map.

The option `default` is the map of a `multiprocessing.Pool`, which chooses a chunk size itself.

It keeps no records and knows no dependencies: a chain waits for each result before it goes on.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from concurrent.futures import ProcessPoolExecutor
    from multiprocessing.pool import Pool
    from typing import Any


def identity(x: int) -> int:
    return x


def increment(x: int) -> int:
    return x + 1


class Rival:
    pool: ProcessPoolExecutor | None = None
    own_chunks: Pool | None = None

    def __init__(self, option: str, home: str, workers: int) -> None:
        self.option, self.workers = option, workers
        self.chunk_size = int(option) if option.isdigit() else 1

    def load(self) -> None:
        from concurrent.futures import ProcessPoolExecutor  # noqa: F401

    def distributions(self) -> tuple[str, ...]:
        return ()

    def open(self) -> None:
        from concurrent.futures import ProcessPoolExecutor

        if self.option == "default":
            import multiprocessing

            self.own_chunks = multiprocessing.Pool(self.workers)
        self.pool = ProcessPoolExecutor(self.workers)

    def map(self, n: int) -> list[int]:
        assert self.pool is not None
        return list(self.pool.map(identity, range(n), chunksize=self.chunk_size))

    def map_each(self, n: int) -> list[int]:
        raise NotImplementedError("the map of a pool has no futures")

    def submit(self, n: int) -> list[int]:
        assert self.pool is not None
        futures = [self.pool.submit(identity, x) for x in range(n)]
        return [future.result() for future in futures]

    def chain(self, n: int) -> int:
        assert self.pool is not None
        value = 0
        for _ in range(n):
            value = self.pool.submit(increment, value).result()
        return value

    def map_function(self, function: Callable[[Any], Any], items: Sequence[Any]) -> list[Any]:
        if self.own_chunks is not None:
            return self.own_chunks.map(function, items)
        assert self.pool is not None
        return list(self.pool.map(function, items, chunksize=self.chunk_size))

    def check_records(self, n: int) -> None:
        """It keeps none."""

    def close(self) -> None:
        if self.pool is not None:
            self.pool.shutdown()
        if self.own_chunks is not None:
            self.own_chunks.terminate()
