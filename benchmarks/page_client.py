"""A light HTTP client on asyncio's streams; its connections stay open and are used again."""

from __future__ import annotations

import asyncio
from weakref import WeakKeyDictionary

Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]

_unused: WeakKeyDictionary[asyncio.AbstractEventLoop, list[Connection]] = WeakKeyDictionary()


async def fetch(address: str) -> int:
    """The number that a page of `benchmarks.page_server` says."""
    server, _, page = address.removeprefix("http://").partition("/")
    unused = _unused.setdefault(asyncio.get_running_loop(), [])
    reader, writer = unused.pop() if unused else await _connect(server)
    writer.write(f"GET /{page} HTTP/1.1\r\nHost: {server}\r\n\r\n".encode())
    head = await reader.readuntil(b"\r\n\r\n")
    body = await reader.readexactly(int(head.rpartition(b"Content-Length: ")[2]))
    unused.append((reader, writer))
    return int(body)


async def hang_up() -> None:
    """Close what this event loop keeps open."""
    writers = [writer for _, writer in _unused.pop(asyncio.get_running_loop(), [])]
    for writer in writers:
        writer.close()
    await asyncio.gather(*(writer.wait_closed() for writer in writers))


async def _connect(server: str) -> Connection:
    host, _, port = server.partition(":")
    return await asyncio.open_connection(host, int(port))
