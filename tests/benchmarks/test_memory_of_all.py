"""The memory of a process and its descendants."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest

from benchmarks.memory_of_all import MemoryOfAll

MEGABYTES_50 = 50 * 2**20


@pytest.mark.skipif(sys.platform != "linux", reason="there is no /proc")
def test_memory_of_a_child_counts():
    program = f"held = b'x' * {MEGABYTES_50}; print('made', flush=True); input()"
    # once what other tests had is given back no more meanwhile
    assert any(_grows_by(MEGABYTES_50, program) for _ in range(20))


def _grows_by(nbytes: int, program: str) -> bool:
    deadline = time.monotonic() + 5
    with MemoryOfAll() as memory:
        child = subprocess.Popen(
            [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert child.stdout is not None and child.stdout.readline() == b"made\n"
        while memory.grown_bytes < nbytes and time.monotonic() < deadline:
            time.sleep(0.001)
        child.communicate(b"\n")
    return memory.grown_bytes >= nbytes
