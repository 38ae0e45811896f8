"""A small HTTP server on this machine: slow by a constant, and unavailable now and then."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager

DELAY_SECONDS = 0.02
_FAILS_FIRST = 7  # every seventh page is unavailable when it is asked for the first time


class _Pages:
    def __init__(self) -> None:
        self.seen: set[int] = set()

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one request and hang up."""
        request = (await reader.readuntil(b"\r\n\r\n")).decode()
        number = int(request.split()[1].rpartition("/")[2])
        await asyncio.sleep(DELAY_SECONDS)
        first = number not in self.seen
        self.seen.add(number)
        busy = first and number % _FAILS_FIRST == 0
        status = "503 Service Unavailable" if busy else "200 OK"
        body = b"" if busy else str(number * number).encode()
        head = f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        writer.write(head.encode() + body)
        await writer.drain()
        writer.close()


@contextmanager
def local_server() -> Iterator[str]:
    """Serve in a thread of its own; yields the address, ``http://127.0.0.1:port``."""
    loop = asyncio.new_event_loop()
    server = loop.run_until_complete(
        asyncio.start_server(_Pages().answer, "127.0.0.1", 0, backlog=2000)
    )
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        server.close()
        loop.run_until_complete(server.wait_closed())
        loop.close()
