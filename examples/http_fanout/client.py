"""The HTTP session of a worker; in a module of its own, as it cannot travel to another process."""

from __future__ import annotations

import asyncio
from weakref import WeakKeyDictionary

import aiohttp

_sessions: WeakKeyDictionary[asyncio.AbstractEventLoop, aiohttp.ClientSession] = WeakKeyDictionary()


def session() -> aiohttp.ClientSession:
    """The session of this event loop: made once, so that its connections are used again."""
    loop = asyncio.get_running_loop()
    if loop not in _sessions:
        _sessions[loop] = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=500))
    return _sessions[loop]
