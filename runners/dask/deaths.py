"""Why workers of a Dask cluster died: what the scheduler tells of them, and their nannies know.

The scheduler has a topic for each worker, where it says what the worker was at when it was removed,
and a worker why it closes. How a process ended stands in the log of its nanny, which the scheduler
asks for it.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import threading
import time
from collections.abc import Callable, Collection, Iterable
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from cluster.versions import by_value
from dataflow.execution.runner_protocol import Explain
from runners.exit_status import exit_text

_PATIENCE_SECONDS = 1.5
_ANSWER_SECONDS = 3.0
_PAUSE_SECONDS = 0.05
_ENDED = re.compile(r"Worker process (\d+) (?:was killed by signal (\d+)|exited with status (\d+))")
_TOO_LARGE = re.compile(r"\(pid=(\d+)\) exceeded (\d+)% memory budget")
Key = Any


@dataclass(slots=True)
class _Known:
    """What is known of a worker.

    Attributes:
        pid, nanny: its process, and the address of who looks after that.
        ways: by which its end has yet to be heard of: from the scheduler, and at each of its lines.
        heard: done when it was heard of by all of them.
    """

    pid: int
    nanny: str | None
    ways: int = 1
    heard: Future[None] = field(default_factory=Future)


class WorkerDeaths:
    """Learns of the deaths of a cluster's workers.

    Args:
        client: connected to the scheduler.
        died: called with the address of a worker, the keys of the tasks that it had been given,
            and what explains its death.
    """

    def __init__(self, client: Any, died: Callable[[str, Collection[Key], Explain], None]) -> None:
        self._client = client
        self._died = died
        self._lock = threading.Lock()
        self._known: dict[str, _Known] = {}
        self._ended: set[int] = set()
        self._reasons: dict[str, str] = {}
        self._causes: dict[str, Future[str]] = {}
        self._explains: dict[str, Explain] = {}

    def meet_all(self) -> None:
        """Meet the workers that are there; those that come later introduce themselves."""
        found = self._client.run_on_scheduler(by_value(_who_they_are))
        for address, who in found.items():
            self.meet(address, *who)

    def meet(self, address: str, pid: int, nanny: str | None) -> None:
        """Know a worker's process and its nanny, and listen for what becomes of it."""
        with self._lock:
            if address in self._known:
                return
            self._known[address] = _Known(pid, nanny)
        self._client.subscribe_topic(address, partial(self._hear, address))

    def meet_line(self, address: str, pid: int, nanny: str | None) -> None:
        """The same of a worker that has a line to us: it will be heard of when that ends, too."""
        self.meet(address, pid, nanny)
        self._count_ways(address, 1)

    def line_has_ended(self, address: str) -> None:
        """What a worker had over a line of its own has been told."""
        self._count_ways(address, -1)

    def _count_ways(self, address: str, more: int) -> None:
        with self._lock:
            known = self._known[address]
            known.ways += more
            if known.ways == 0:
                known.heard.set_result(None)

    def were_ended(self, pids: Iterable[int]) -> None:
        """These processes of workers were killed for the sake of what was cancelled."""
        self._ended.update(pids)

    def explain(self, address: str) -> Explain:
        """Finds out how and where a worker died (from any thread); the same for each who asks."""
        return self._explains.setdefault(address, partial(self._explain, address))

    def _explain(self, address: str, tell: Callable[[str], None]) -> None:
        self._cause_of(address).add_done_callback(lambda cause: tell(cause.result()))

    async def settle(self) -> None:
        """Wait until what was asked for is known (in the client's event loop)."""
        await asyncio.gather(*map(asyncio.wrap_future, self._causes.values()))

    def _cause_of(self, address: str) -> Future[str]:
        cause = self._causes.get(address)
        if cause is None:
            cause = self._causes.setdefault(address, Future())
            try:
                self._client.loop.add_callback(self._find_cause, address, cause)
            except RuntimeError:  # the client has been closed
                self._settle(address, cause, "nobody can be asked why any more")
        return cause

    def _hear(self, address: str, event: Any) -> None:
        _, message = event
        action = message.get("action") if isinstance(message, dict) else None
        if action == "closing-worker":
            self._reasons[address] = str(message.get("reason"))
        elif action == "remove-worker":
            self._client.unsubscribe_topic(address)
            self._died(address, message["processing-tasks"], self.explain(address))
            self._count_ways(address, -1)

    async def _find_cause(self, address: str, cause: Future[str]) -> None:
        said = "nobody knows why"
        deadline = time.monotonic() + _PATIENCE_SECONDS
        with contextlib.suppress(Exception):
            said = await self._ask(address, deadline)
            await self._hear_all(address, deadline)
        self._settle(address, cause, said)

    async def _hear_all(self, address: str, deadline: float) -> None:
        """Wait until all that a worker had has been told: it died once, and is told of once."""
        known = self._known.get(address)
        if known is not None:
            seconds = max(deadline - time.monotonic(), 0.0)
            await asyncio.wait([asyncio.wrap_future(known.heard)], timeout=seconds)

    def _settle(self, address: str, cause: Future[str], said: str) -> None:
        known = self._known.get(address)
        process = f"process {known.pid} " if known is not None else ""
        host = address.partition("://")[2].rpartition(":")[0]
        if not cause.done():
            cause.set_result(f"Dask worker {address} ({process}on host {host}) died: {said}")

    async def _ask(self, address: str, deadline: float) -> str:
        known = self._known.get(address)
        if known is not None and known.pid in self._ended:
            return "it was ended, as something that it was at was cancelled"
        while True:
            problem = None
            if known is not None and known.nanny is not None:
                try:
                    log = await asyncio.wait_for(self._log_of(known.nanny), _ANSWER_SECONDS)
                except Exception as error:
                    problem = error
                else:
                    if (said := cause_in(log, known.pid)) is not None:
                        return said
            if address in self._reasons:
                return f"it was closed ({self._reasons[address]})"
            if problem is not None or time.monotonic() > deadline:
                return _lost_connection(known, problem)
            await asyncio.sleep(_PAUSE_SECONDS)

    async def _log_of(self, nanny: str) -> list[str]:
        """The last lines that a nanny has logged, the newest first."""
        message = {"op": "get_logs", "n": 200}
        lines = await self._client.scheduler.proxy(msg=message, worker=nanny)
        return [text for _, text in lines]


def cause_in(log: Iterable[str], pid: int) -> str | None:
    """What the log of a nanny tells of the end of a worker's process; None: nothing."""
    ended = None
    for line in log:
        if (found := _TOO_LARGE.search(line)) and int(found[1]) == pid:
            return f"its nanny ended it, as it had more than {found[2]} % of its memory limit"
        if (found := _ENDED.search(line)) and int(found[1]) == pid and ended is None:
            ended = exit_text(int(found[3]) if found[2] is None else -int(found[2]))
    return ended


def _lost_connection(known: _Known | None, problem: Exception | None) -> str:
    lost = "its connection to the scheduler was lost"
    if known is None or known.nanny is None:
        return f"{lost}, and it has no nanny that could say why"
    if problem is None:
        return f"{lost}; its nanny knows nothing of an end of its process"
    return f"{lost}, and its nanny does not answer: it, its host or the way to it is gone"


def _who_they_are(dask_scheduler: Any) -> dict[str, tuple[int, str | None]]:
    """The process and the nanny of each worker (sent to the scheduler as code)."""
    workers = dask_scheduler.workers.items()
    return {address: (worker.pid, worker.nanny) for address, worker in workers}
