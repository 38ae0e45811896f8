"""Fetch many pages at once: one ``async`` task, mapped; busy pages are asked for again.

The workers' event loops keep hundreds of requests in flight, over connections that stay open. A 503
is retried, later and later; a 404 is not, and fails alone.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections import Counter
from dataclasses import dataclass
from typing import Any

import aiohttp

from dataflow import State, exponential_backoff, flow, get_run_logger, runtime, task, unmapped
from examples.http_fanout.client import session
from examples.http_fanout.server import DELAY_SECONDS, Server, local_server


@dataclass(frozen=True)
class Page:
    """A page, and what it took to get it."""

    number: int
    value: int
    attempts: int
    seconds: float


def is_busy(_task: Any, _task_run: Any, state: State[Any]) -> bool:
    """Whether the server said 503: what else goes wrong would go wrong again."""
    error = state.result(raise_on_failure=False)
    return isinstance(error, aiohttp.ClientResponseError) and error.status == 503


@task(
    task_run_name="page {number}",
    retries=4,
    retry_delay_seconds=exponential_backoff(0.05),
    retry_jitter_factor=0.5,
    retry_condition_fn=is_busy,
    timeout_seconds=10,
)
async def fetch(number: int, address: str) -> Page:
    """Fetch one page."""
    begun = time.perf_counter()
    async with session().get(f"{address}/pages/{number}", raise_for_status=True) as answer:
        value = int(await answer.text())
    seconds = time.perf_counter() - begun
    return Page(number, value, runtime.task_run.run_count, seconds)


@flow(task_runner="threads")
def fetch_all(address: str, pages: int) -> list[Page]:
    """Fetch all the pages that there are."""
    states = fetch.map(range(pages), address=unmapped(address), return_state=True)
    fetched = [state.result() for state in states if state.is_completed()]
    get_run_logger().info("%s of %s pages fetched", len(fetched), pages)
    return fetched


def main() -> None:
    """Start a server, fetch its pages, and tell how it went."""
    parser = argparse.ArgumentParser(description=fetch_all.description)
    parser.add_argument("pages", type=int, nargs="?", default=2000)
    parser.add_argument("--runner", help="inline, threads (the default), processes or dask")
    chosen = parser.parse_args()
    chosen_flow = fetch_all.with_options(task_runner=chosen.runner or fetch_all.task_runner)
    with local_server() as server:
        begun = time.perf_counter()
        fetched = chosen_flow(server.address, chosen.pages)
        seconds = time.perf_counter() - begun
    print_summary(fetched, chosen.pages, seconds, server)


def print_summary(fetched: list[Page], asked: int, seconds: float, server: Server) -> None:
    """What was fetched, how fast, and what the server saw of it."""
    requests = server.answers.total()
    latencies = statistics.quantiles((page.seconds * 1000 for page in fetched), n=20)
    tries = Counter(page.attempts for page in fetched)
    by_tries = ", ".join(
        f"{count:,} at attempt {number}" for number, count in sorted(tries.items())
    )
    print(f"{len(fetched):,} of {asked:,} pages in {seconds:.2f} s: {by_tries}")
    print(f"{requests / seconds:,.0f} requests a second; one at a time would take at least "
          f"{requests * DELAY_SECONDS:.0f} s")  # fmt: skip
    print(f"latency: median {latencies[9]:.0f} ms, 95 % within {latencies[18]:.0f} ms")
    print(f"the server: {requests:,} requests, at most {server.most_at_once:,} at once")
    for status, count in sorted(server.answers.items()):
        print(f"  {status}: {count:,}")
    print(f"sum of all values: {sum(page.value for page in fetched):,}")


if __name__ == "__main__":
    main()
