"""dataflow itself; the option is the runner: `processes` or `dask`.

Every flow run is recorded in a store of its own home, and logs go where they go by default.
"""

from __future__ import annotations

import os

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
        self._task = task
        self._tasks: dict[Any, Any] = {}

        # its body is given anew for each run: parameters would be recorded, and sent to workers
        @flow(task_runner=self.runner)
        def work() -> Any:
            return self._body()

        self._flow = work

    def _in_flow(self, body: Callable[[], Any]) -> Any:
        self._body = body
        return self._flow()

    def _task_of(self, function: Callable[..., Any], **options: Any) -> Any:
        key = function, *options
        if key not in self._tasks:
            self._tasks[key] = self._task(function, **options)
        return self._tasks[key]

    def map(self, n: int) -> list[int]:
        return self.map_function(identity, range(n))

    def map_each(self, n: int) -> list[int]:
        one = self._task_of(identity)

        def body() -> list[int]:
            return [future.result() for future in one.map(range(n))]

        values: list[int] = self._in_flow(body)
        return values

    def submit(self, n: int) -> list[int]:
        one = self._task_of(identity)

        def body() -> list[int]:
            futures = [one.submit(x) for x in range(n)]
            return [future.result() for future in futures]

        values: list[int] = self._in_flow(body)
        return values

    def chain(self, n: int) -> int:
        more = self._task_of(increment)

        def body() -> Any:
            future = more.submit(0)
            for _ in range(n - 1):
                future = more.submit(future)
            return future.result()

        value: int = self._in_flow(body)
        return value

    def map_function(self, function: Callable[[Any], Any], items: Sequence[Any]) -> list[Any]:
        one = self._task_of(function)
        values: list[Any] = self._in_flow(lambda: one.map(items).result())
        return values

    def graph(self, calls: Sequence[Call], wanted: Sequence[int]) -> list[Any]:
        def body() -> list[Any]:
            futures = self._submit_all(calls)
            kept = [futures[number] for number in wanted]
            del futures  # nobody asks for the other values, so none has to be kept
            return [future.result() for future in kept]

        values: list[Any] = self._in_flow(body)
        return values

    def _submit_all(self, calls: Sequence[Call]) -> list[Any]:
        futures: list[Any] = []
        for function, arguments, dependencies in calls:
            inputs = [futures[number] for number in dependencies]
            futures.append(self._task_of(function).submit(*arguments, *inputs))
        return futures

    def map_thrice(self, n: int) -> list[int]:
        one = self._task_of(identity)
        values: list[int] = self._in_flow(lambda: one.map(one.map(one.map(range(n)))).result())
        return values

    def timed_maps(self, n: int) -> tuple[float, float, float, list[int]]:
        from time import perf_counter

        one = self._task_of(identity)

        def body() -> tuple[float, float, float, list[int]]:
            started = perf_counter()
            futures = one.map(range(n))
            called = perf_counter()
            others = one.map(range(n))
            called_again = perf_counter()
            futures[0].result()
            first = perf_counter()
            values = futures.result()
            assert others.result() == values
            return called - started, called_again - called, first - started, values

        found: tuple[float, float, float, list[int]] = self._in_flow(body)
        return found

    def timed_submits(self, n: int) -> tuple[float, list[int]]:
        from time import perf_counter

        one = self._task_of(identity)

        def body() -> tuple[float, list[int]]:
            started = perf_counter()
            futures = [one.submit(x) for x in range(n)]
            seconds = perf_counter() - started
            return seconds, [future.result() for future in futures]

        found: tuple[float, list[int]] = self._in_flow(body)
        return found

    def branch(self, n: int, calls: Sequence[Call]) -> tuple[float, list[int]]:
        from time import perf_counter

        one = self._task_of(identity)

        def body() -> tuple[float, list[int]]:
            mapped = one.map(range(n)) if n else None
            started = perf_counter()
            self._submit_all(calls)[-1].result()
            seconds = perf_counter() - started
            return seconds, [] if mapped is None else mapped.result()

        found: tuple[float, list[int]] = self._in_flow(body)
        return found

    def scheduler_pid(self) -> int | None:
        if self.option != "dask":
            return None
        from distributed import Client

        from benchmarks.calls import Call
        from benchmarks.tasks import scheduler_address

        (address,) = self.graph([Call(scheduler_address)], [0])
        open_client: Any = Client
        with open_client(address) as client:
            pid: int = client.run_on_scheduler(os.getpid)
        return pid

    def bytes_through_flow(self) -> int | None:
        moved: int = self.runner.bytes_through_flow
        return moved

    def hash_value(self, value: Any) -> Any:
        from dataflow.hashing.values import text_of

        return text_of(value)

    def map_kept(self, function: Callable[[Any], Any], items: Sequence[Any]) -> list[Any]:
        one = self._task_of(function, persist_result=True)
        values: list[Any] = self._in_flow(lambda: one.map(items).result())
        return values

    def map_cached(self, function: Callable[[Any], Any], items: Sequence[Any]) -> list[Any]:
        from dataflow.cache_policies import INPUTS, TASK_SOURCE

        one = self._task_of(function, cache_policy=INPUTS + TASK_SOURCE)
        values: list[Any] = self._in_flow(lambda: one.map(items).result())
        return values

    def resume_map(
        self, function: Callable[[Any], Any], items: Sequence[Any], mend: Callable[[], None]
    ) -> tuple[float, list[Any]]:
        from contextlib import suppress
        from time import perf_counter

        from dataflow import records

        one = self._task_of(function, persist_result=True)
        with suppress(Exception):
            self._in_flow(lambda: one.map(items).result())
        mend()
        run = records.runs(limit=1)[0]
        assert run.state.is_failed(), "the run did not fail"
        started = perf_counter()
        values: list[Any] = self._flow.resume(run.id)
        return perf_counter() - started, values

    def cancel_map(
        self,
        stays: Callable[[Any], Any],
        follows: Callable[[Any], Any],
        n: int,
        is_busy: Callable[[], bool],
    ) -> tuple[float, list[Any]]:
        import subprocess
        import sys
        import threading
        import time

        from dataflow import records

        staying, following = self._task_of(stays), self._task_of(follows)
        self._body = lambda: staying.map(range(n)).wait()
        work = self._flow.with_options(name="stays")
        beside = threading.Thread(target=work, kwargs={"return_state": True})
        beside.start()
        while not is_busy():
            time.sleep(0.01)
        run = records.runs(flow_name="stays")[0]
        cancel = [sys.executable, "-m", "dataflow", "runs", "cancel", run.id]
        command = subprocess.Popen(cancel, stdout=subprocess.DEVNULL)
        values: list[Any] = self._in_flow(lambda: following.map(range(n)).result())
        beside.join()
        assert command.wait() == 0, "it was not cancelled"
        (asked,) = (each for each in run.states() if each.is_cancelling())
        return time.monotonic() - (time.time() - asked.timestamp.timestamp()), values

    def check_cached(self, n: int) -> None:
        from dataflow import records

        counts = [node.counts for node in records.runs(limit=1)[0].nodes()]
        cached = sum(count.get("Cached", 0) for count in counts)
        assert cached == n, f"{cached} of {n} elements are recorded as cached"

    def check_records(self, n: int) -> None:
        from dataflow import records

        counts = [node.counts for node in records.runs(limit=1)[0].nodes()]
        completed = sum(count.get("Completed", 0) for count in counts)
        assert completed == n, f"{completed} of {n} elements are recorded as completed"

    def close(self) -> None:
        """A program that ends does nothing more than this either."""
