"""The event loop of a process, and what reading from sockets costs on it."""

from __future__ import annotations

import os
import platform
import subprocess
import sys

import pytest

READS = 500
PROGRAM = f"""
import asyncio, resource, socket
from dataflow.worker.async_thread import async_thread

async def read():
    ours, theirs = socket.socketpair()
    reader, writer = await asyncio.open_connection(sock=ours)
    async def one():
        theirs.send(b"x")
        await reader.readexactly(1)
    for _ in range(20):
        await one()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range({READS}):
        await one()
    print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)

asyncio.run_coroutine_threadsafe(read(), async_thread()._loop).result()
"""


@pytest.mark.parametrize(
    "settings", [{}, {"MALLOC_TRIM_THRESHOLD_": "65536"}], ids=["plain", "Dask"]
)
@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="others keep freed memory anyway")
def test_a_read_takes_no_new_memory_from_the_system(settings):
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env={**os.environ, **settings},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert int(done.stdout) < READS / 10
