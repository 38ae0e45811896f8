"""The server that requests are sent to, and its client."""

from __future__ import annotations

import asyncio

from benchmarks.page_client import fetch, hang_up
from benchmarks.page_server import page_server


async def fetch_all(pages):
    try:
        return await asyncio.gather(*map(fetch, pages))
    finally:
        await hang_up()


def test_a_page_says_its_number():
    with page_server() as server:
        assert asyncio.run(fetch_all(server.pages(30))) == list(range(30))


def test_the_server_counts_what_is_in_flight():
    with page_server() as server:
        first, *_ = server.pages(20)
        assert server.most_at_once() == 0
        assert asyncio.run(fetch_all([first])) == [0]
        assert server.most_at_once() == 1
        asyncio.run(fetch_all(server.pages(20)))
        assert 1 < server.most_at_once() <= 20
        assert server.most_at_once() == 0
