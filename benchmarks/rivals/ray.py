"""Ray on this machine, without its dashboard and usage reports."""

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
    ray: Any = None

    def __init__(self, option: str, home: str, workers: int) -> None:
        self.home, self.workers = home, workers
        os.environ["RAY_USAGE_STATS_ENABLED"] = "0"

    def load(self) -> None:
        import ray  # type: ignore[import-not-found, import-untyped, unused-ignore]

        self.ray = ray

    def distributions(self) -> tuple[str, ...]:
        return ("ray",)

    def open(self) -> None:
        self.load()
        self.ray.init(
            num_cpus=self.workers,
            include_dashboard=False,
            log_to_driver=False,
            _temp_dir=f"{self.home}/ray",
        )
        self.identity, self.increment = self.ray.remote(identity), self.ray.remote(increment)

    def map(self, n: int) -> list[int]:
        values: list[int] = self.ray.get([self.identity.remote(x) for x in range(n)])
        return values

    def map_each(self, n: int) -> list[int]:
        return self.submit(n)

    def submit(self, n: int) -> list[int]:
        references = [self.identity.remote(x) for x in range(n)]
        return [self.ray.get(reference) for reference in references]

    def chain(self, n: int) -> int:
        reference = self.increment.remote(0)
        for _ in range(n - 1):
            reference = self.increment.remote(reference)
        value: int = self.ray.get(reference)
        return value

    def check_records(self, n: int) -> None:
        """It keeps none."""

    def close(self) -> None:
        if self.ray is not None and self.ray.is_initialized():
            self.ray.shutdown()
