"""Parsl's `HighThroughputExecutor` with one local block, its logs and usage reports switched off.

It has no map: one app is called for each element.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def identity(x: int) -> int:
    return x


def increment(x: int) -> int:
    return x + 1


class Rival:
    kernel: Any = None

    def __init__(self, option: str, home: str, workers: int) -> None:
        self.home, self.workers = home, workers

    def load(self) -> None:
        import parsl  # type: ignore[import-not-found, import-untyped, unused-ignore]

        self.parsl: Any = parsl

    def distributions(self) -> tuple[str, ...]:
        return ("parsl",)

    def open(self) -> None:
        self.load()
        executor = self.parsl.HighThroughputExecutor(
            label="workers",
            address="127.0.0.1",
            max_workers_per_node=self.workers,
            provider=self.parsl.providers.LocalProvider(init_blocks=1, max_blocks=1),
        )
        self.kernel = self.parsl.load(
            self.parsl.Config(
                executors=[executor],
                run_dir=f"{self.home}/parsl",
                initialize_logging=False,
                usage_tracking=0,
            )
        )
        self.identity = self.parsl.python_app(identity)
        self.increment = self.parsl.python_app(increment)

    def map(self, n: int) -> list[int]:
        return self.submit(n)

    def map_each(self, n: int) -> list[int]:
        return self.submit(n)

    def submit(self, n: int) -> list[int]:
        futures = [self.identity(x) for x in range(n)]
        return [future.result() for future in futures]

    def chain(self, n: int) -> int:
        future = self.increment(0)
        for _ in range(n - 1):
            future = self.increment(future)
        value: int = future.result()
        return value

    def check_records(self, n: int) -> None:
        """It keeps none."""

    def close(self) -> None:
        if self.kernel is not None:
            self.kernel.cleanup()
