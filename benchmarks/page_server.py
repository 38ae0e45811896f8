"""An HTTP server in a process of its own: it holds each request for 20 ms and counts them.

Its pages are numbers: page 7 says 7. The page ``most`` says how many requests were in its hands at
once at most since it was last asked. It is a bare protocol, so that clients can be the slower side.
"""

from __future__ import annotations

import asyncio
import resource
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.request import urlopen

DELAY_SECONDS = 0.02
_END = b"\r\n\r\n"


@dataclass(frozen=True, slots=True)
class PageServer:
    """Where it listens."""

    address: str

    def pages(self, n: int) -> list[str]:
        """The addresses of so many pages."""
        return [f"{self.address}/{number}" for number in range(n)]

    def most_at_once(self) -> int:
        """How many requests were in flight at once at most since this was last asked."""
        with urlopen(f"{self.address}/most") as answer:
            return int(answer.read())


@contextmanager
def page_server() -> Iterator[PageServer]:
    """Serve until the block ends."""
    command = [sys.executable, "-m", "benchmarks.page_server"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield PageServer(process.stdout.readline().strip())
        finally:
            process.terminate()


class _Counter:
    at_once = 0
    most = 0


class _Connection(asyncio.Protocol):
    """One client, who sends a request after the answer to the last."""

    def __init__(self, counter: _Counter) -> None:
        self._counter = counter
        self._loop = asyncio.get_running_loop()
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._received += data
        if not self._received.endswith(_END):
            return
        page = self._received.split(b" ", 2)[1].removeprefix(b"/")
        self._received = b""
        counter = self._counter
        if page == b"most":
            self._answer(str(counter.most).encode())
            counter.most = counter.at_once
            return
        counter.at_once += 1
        counter.most = max(counter.most, counter.at_once)
        self._loop.call_later(DELAY_SECONDS, self._release, page)

    def _release(self, page: bytes) -> None:
        self._counter.at_once -= 1
        self._answer(page)

    def _answer(self, body: bytes) -> None:
        head = b"HTTP/1.1 200 OK\r\nContent-Length: %d" % len(body)
        self._transport.write(head + _END + body)


async def _serve() -> None:
    counter = _Counter()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: _Connection(counter), "127.0.0.1", 0, backlog=2000)
    host, port = server.sockets[0].getsockname()
    print(f"http://{host}:{port}", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    _most_files = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (_most_files, _most_files))  # one a connection
    asyncio.run(_serve())
