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
    with MemoryOfAll() as memory:
        child = subprocess.Popen(
            [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert child.stdout is not None and child.stdout.readline() == b"made\n"
        while memory.grown_bytes < MEGABYTES_50:
            time.sleep(0.001)
        child.communicate(b"\n")
    assert memory.grown_bytes >= MEGABYTES_50
