"""One map of an ``async`` task over pages of a local server, beside a bare ``asyncio.gather``."""

from __future__ import annotations

import asyncio
from statistics import median
from time import perf_counter

from benchmarks.page_client import fetch, hang_up
from benchmarks.page_server import PageServer, page_server

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.rivals.protocol import MapRival

WARM = True

AT_ONCE = 1000
"""Calls that a worker's event loop has under way at most: the bare loop has as many."""
TRIES = 3


def run(rival: MapRival, n: int) -> dict[str, float]:
    """Each in turn, and over connections that are open: the first time does not count."""
    with page_server() as server, asyncio.Runner() as runner:

        def mapped(pages: list[str]) -> list[int]:
            return rival.map_function(fetch, pages)

        def bare(pages: list[str]) -> list[int]:
            return runner.run(_gather(pages))

        found = [(_timed(mapped, server, n), _timed(bare, server, n)) for _ in range(1 + TRIES)]
        runner.run(hang_up())
        rival.check_records(n)
    ours, theirs = zip(*found[1:], strict=True)
    seconds, bare_seconds = (median(each for each, _ in times) for times in (ours, theirs))
    return {
        "seconds": seconds,
        "bare_seconds": bare_seconds,
        "over_bare": seconds / bare_seconds,
        "most_at_once": median(most for _, most in ours),
        "bare_most_at_once": median(most for _, most in theirs),
    }


def _timed(
    fetch_all: Callable[[list[str]], list[int]], server: PageServer, n: int
) -> tuple[float, int]:
    """Seconds, and how many requests the server had in its hands at once."""
    pages = server.pages(n)
    server.most_at_once()
    started = perf_counter()
    values = fetch_all(pages)
    seconds = perf_counter() - started
    assert values == list(range(n)), "the pages say other numbers"
    return seconds, server.most_at_once()


async def _gather(pages: list[str]) -> list[int]:
    limit = asyncio.Semaphore(AT_ONCE)

    async def one(page: str) -> int:
        async with limit:
            return await fetch(page)

    return await asyncio.gather(*map(one, pages))
