"""A small HTTP server on this machine: slow, now and then busy, and it counts what it is asked.

Every seventh page is refused with 503 when it is first asked for, and every 21st the second time
too; every 500th page does not exist. So what a client must come to is known beforehand.
"""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

DELAY_SECONDS = 0.02
_REASONS = {200: "OK", 404: "Not Found", 503: "Service Unavailable"}


def is_missing(page: int) -> bool:
    """Whether there is no such page."""
    return page % 500 == 499


def busy_answers(page: int) -> int:
    """How often a page is refused before it is served."""
    return (page % 7 == 0) + (page % 21 == 0)


@dataclass
class Server:
    """What the server has seen; ``address`` is where it listens."""

    address: str = ""
    answers: Counter[int] = field(default_factory=Counter)
    most_at_once: int = 0
    _asked: Counter[int] = field(default_factory=Counter)
    _at_once: int = 0

    async def serve_connection(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Answer the requests of one connection until the client hangs up."""
        try:
            while request := await reader.readuntil(b"\r\n\r\n"):
                page = int(request.split()[1].rpartition(b"/")[2])
                status, body = await self._answer(page)
                head = f"HTTP/1.1 {status} {_REASONS[status]}\r\nContent-Length: {len(body)}"
                writer.write(f"{head}\r\n\r\n".encode() + body)
                await writer.drain()
        except (asyncio.IncompleteReadError, asyncio.CancelledError, ConnectionError):
            pass  # the client, or this server, has gone
        finally:
            writer.close()

    async def _answer(self, page: int) -> tuple[int, bytes]:
        self._at_once += 1
        self.most_at_once = max(self.most_at_once, self._at_once)
        await asyncio.sleep(DELAY_SECONDS)
        self._at_once -= 1
        self._asked[page] += 1
        if is_missing(page):
            status = 404
        else:
            status = 503 if self._asked[page] <= busy_answers(page) else 200
        self.answers[status] += 1
        return status, str(page * page).encode() if status == 200 else b""


@contextmanager
def local_server() -> Iterator[Server]:
    """Serve in a thread of its own until the block ends."""
    loop = asyncio.new_event_loop()
    server = Server()
    listening = loop.run_until_complete(
        asyncio.start_server(server.serve_connection, "127.0.0.1", 0, backlog=2000)
    )
    server.address = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        listening.close()
        asyncio.run_coroutine_threadsafe(_end_connections(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def _end_connections() -> None:
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for other in others:
        other.cancel()
    await asyncio.gather(*others, return_exceptions=True)
