"""Memory that was freed stays with a busy worker, within bounds, and with no idle one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from dataflow import ProcessPoolTaskRunner, flow, task
from runners.processes import freed_memory, memory_room
from runners.processes.freed_memory import FreedMemory
from tests.runners.programs import wait_until

pytestmark = pytest.mark.skipif(
    FreedMemory()._glibc is None, reason="there is no glibc, or the environment says what it keeps"
)

MEGABYTE = 1 << 20
BLOCK = 48 * MEGABYTE
PROGRAM = """
import json
from runners.processes import freed_memory
from runners.processes.freed_memory import FreedMemory, _private_bytes

MEGABYTE = 1 << 20
freed_memory._most_bytes = lambda: {most} * MEGABYTE
start = _private_bytes()
found = {{}}


def note(name):
    found[name] = (_private_bytes() - start) >> 20


def make(megabytes):
    return b"x" * (megabytes * MEGABYTE)


freed = FreedMemory()
{steps}
print(json.dumps(found))
"""


def megabytes_in_use(steps: str, most: int = 256, **environment: str) -> dict[str, int]:
    """The private memory of a process of its own, at each ``note`` of the steps."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(most=most, steps=steps)],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
        env={**os.environ, **environment},
    )
    found: dict[str, int] = json.loads(done.stdout)
    return found


STEPS = "make(48); note('before'); freed.expect(48 * MEGABYTE); make(48); note('kept')\n"


def test_freed_blocks_of_the_size_that_is_expected_are_kept_until_they_are_released() -> None:
    found = megabytes_in_use(STEPS + "make(64); note('larger'); freed.release(); note('released')")
    assert found["before"] < 10
    assert 40 < found["kept"] < 60
    assert found["larger"] < 60
    assert found["released"] < 10


@pytest.mark.parametrize("name", ["MALLOC_TRIM_THRESHOLD_", "GLIBC_TUNABLES"])
def test_who_says_what_is_to_be_kept_is_obeyed(name: str) -> None:
    value = "65536" if name.startswith("MALLOC") else "glibc.malloc.trim_threshold=65536"
    found = megabytes_in_use(STEPS, **{name: value})
    assert found["kept"] < 10


def test_blocks_beyond_a_share_of_the_memory_are_not_kept() -> None:
    assert megabytes_in_use(STEPS, most=47)["kept"] < 10


def test_what_is_kept_in_pieces_is_given_back_when_it_is_much() -> None:
    steps = """
freed.expect(48 * MEGABYTE)
blocks, between = [], []
for _ in range(6):
    blocks.append(make(40))
    between.append(make(1))
blocks.clear()
note('kept')
freed.release_excess()
note('left')
make(40)
freed.release_excess()
note('kept again')
"""
    found = megabytes_in_use(steps)
    assert found["kept"] > 200
    assert found["left"] < 20
    assert found["kept again"] > 35


def test_what_is_kept_after_an_idle_time_is_released_as_well() -> None:
    steps = """
freed.expect(48 * MEGABYTE)
freed.release()
make(48)
freed.release_excess()
note('kept')
assert freed.is_kept
freed.release()
note('released')
assert not freed.is_kept
"""
    found = megabytes_in_use(steps)
    assert found["kept"] > 40
    assert found["released"] < 10


def test_a_glibc_that_refuses_large_blocks_is_left_alone() -> None:
    class OlderGlibc:
        def __init__(self) -> None:
            self.told: list[int] = []

        def mallopt(self, parameter: int, value: int) -> int:
            self.told.append(parameter)
            return 0

    freed = FreedMemory()
    freed._glibc = older = OlderGlibc()
    freed.expect(BLOCK)
    freed.expect(2 * BLOCK)
    freed.release_excess()
    assert older.told == [freed_memory._M_MMAP_THRESHOLD]
    assert not freed.is_kept


def test_little_memory_means_that_little_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    freed_memory._most_bytes.cache_clear()
    with monkeypatch.context() as patched:
        patched.setattr(memory_room, "total_bytes", lambda: 4 << 30)
        assert freed_memory._most_bytes() == 32 * MEGABYTE
    freed_memory._most_bytes.cache_clear()


# --- in a flow ------------------------------------------------------------------------------------


def private_bytes(pid: int | str) -> int:
    _, resident, shared, *_ = map(int, Path(f"/proc/{pid}/statm").read_text().split())
    return (resident - shared) * os.sysconf("SC_PAGE_SIZE")


@task
def block() -> bytes:
    return b"x" * BLOCK


@task
def in_use() -> int:
    return private_bytes("self")


@flow
def blocks() -> tuple[int, int]:
    before = in_use.submit().result()
    for _ in range(3):
        block.submit().result()
    return before, in_use.submit().result()


def test_a_worker_keeps_what_its_calls_freed_until_it_is_idle() -> None:
    with ProcessPoolTaskRunner(max_workers=1) as runner:
        before, after = blocks.with_options(task_runner=runner)()
        assert after - before > 40 * MEGABYTE
        (pid,) = runner.worker_pids()
        wait_until(
            lambda: private_bytes(pid) - before < 20 * MEGABYTE, "an idle worker gives memory back"
        )
