"""Prefect 3 on threads, its fastest runner, with the temporary server that it starts by itself.

Telemetry is off, its home is a folder of the session, and no API outside this machine is used.
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
        self.workers = workers
        os.environ["PREFECT_HOME"] = f"{home}/prefect"
        os.environ["PREFECT_SERVER_ALLOW_EPHEMERAL_MODE"] = "true"
        os.environ["PREFECT_SERVER_ANALYTICS_ENABLED"] = "false"
        os.environ["PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS"] = "90"
        os.environ["DO_NOT_TRACK"] = "1"

    def load(self) -> None:
        from prefect import (  # type: ignore[import-not-found, unused-ignore]
            flow,
            task,
        )

        self.flow: Any = flow
        self.task: Any = task

    def distributions(self) -> tuple[str, ...]:
        return ("prefect", "fastapi", "pydantic")

    def open(self) -> None:
        self.load()
        from prefect.task_runners import (  # type: ignore[import-not-found, unused-ignore]
            ThreadPoolTaskRunner,
        )

        one, more = self.task(identity), self.task(increment)

        def mapped(n: int) -> Any:
            return one.map(range(n)).result()

        def mapped_each(n: int) -> Any:
            return [future.result() for future in one.map(range(n))]

        def submitted(n: int) -> Any:
            futures = [one.submit(x) for x in range(n)]
            return [future.result() for future in futures]

        def chained(n: int) -> Any:
            future = more.submit(0)
            for _ in range(n - 1):
                future = more.submit(future)
            return future.result()

        def as_flow(body: Any) -> Any:
            return self.flow(task_runner=ThreadPoolTaskRunner(max_workers=self.workers))(body)

        self.mapped, self.submitted = as_flow(mapped), as_flow(submitted)
        self.mapped_each, self.chained = as_flow(mapped_each), as_flow(chained)

    def map(self, n: int) -> list[int]:
        values: list[int] = self.mapped(n)
        return values

    def map_each(self, n: int) -> list[int]:
        values: list[int] = self.mapped_each(n)
        return values

    def submit(self, n: int) -> list[int]:
        values: list[int] = self.submitted(n)
        return values

    def chain(self, n: int) -> int:
        value: int = self.chained(n)
        return value

    def check_records(self, n: int) -> None:
        """Its server keeps them; they are not read here."""

    def close(self) -> None:
        """The server ends with the process."""
