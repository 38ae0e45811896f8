"""``python -m examples.http_fanout [PAGES]``: fetch pages, hundreds at a time, busy ones again."""

from __future__ import annotations

import asyncio
import sys
import time

from dataflow import flow, task, unmapped
from examples.http_fanout.server import local_server


@task(retries=3, retry_delay_seconds=0.05, timeout_seconds=10)
async def fetch(page: int, address: str) -> int:
    """Fetch one page; a busy server is asked again."""
    host, _, port = address.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(f"GET /pages/{page} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
    answer = (await reader.read()).decode()
    writer.close()
    if " 200 " not in answer.partition("\r\n")[0]:
        raise ConnectionError(answer.partition("\r\n")[0])
    return int(answer.rpartition("\r\n")[2])


@flow(task_runner="threads")
def fan_out(pages: int, address: str) -> int:
    """Fetch all pages and add up what they say."""
    return sum(fetch.map(range(pages), unmapped(address)).result())


def main() -> None:
    """Start the server, fetch, and tell how fast it went."""
    pages = int(sys.argv[1]) if len(sys.argv) > 1 else 2000
    with local_server() as address:
        begun = time.perf_counter()
        total = fan_out(pages, address)
        seconds = time.perf_counter() - begun
    assert total == sum(page * page for page in range(pages))
    print(f"{pages:,} pages in {seconds:.2f} s: {pages / seconds:,.0f} a second")


if __name__ == "__main__":
    main()
