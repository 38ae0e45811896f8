"""The flow that is disturbed: maps, chains, a dynamic map, retries, a cache, a subflow and more.

Every call leaves a mark, every state that is seen a line. Its result follows from its size alone,
so that it is known what an undisturbed run gives.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import time
from pathlib import Path
from typing import Any

from dataflow import concurrency, flow, runtime, task
from dataflow.cache_policies import INPUTS

FLAKY_RETRIES = 2
LIMIT = "narrow"
FOLDER = "CHAOS_FOLDER"
"""In the environment: where hooks tell of what they hear."""
CALLS, ANNOUNCED, ENDS = "calls", "announced", "ends"
FILL_MEMORY = "fill-memory"
"""A file that has the next call fill the memory of its worker."""
FULL_BYTES = 1_200_000_000
_FULL_SECONDS = 20.0
CALL_BYTES = 80
"""Each line of the file of calls has as many, so that its size tells how many there were."""
_BLOCK_BYTES = 300_000
LARGE_BYTES = 1_500_000


def put_line(folder: str, name: str, line: str) -> None:
    """Add a line to a file, whole, whoever else does."""
    place = os.open(f"{folder}/{name}", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    try:
        os.write(place, f"{line}\n".encode())
    finally:
        os.close(place)


def mark(folder: str) -> float:
    """Note that a call is made, and by whom; the seconds that it should take."""
    said = f"{runtime.task_run.id} {os.getpid()}"
    put_line(folder, CALLS, said.ljust(CALL_BYTES - 1))
    with contextlib.suppress(FileNotFoundError):
        (Path(folder) / FILL_MEMORY).unlink()  # it is there for one call
        _fill_memory()
    return random.uniform(0.001, 0.012)


def _fill_memory() -> None:
    """Take more than a worker may have, until somebody ends it for that."""
    taken = [b"x" * (FULL_BYTES // 20) for _ in range(20)]
    deadline = time.monotonic() + _FULL_SECONDS
    while taken and time.monotonic() < deadline:
        time.sleep(0.1)


def announce(folder: str, name: str, state: str) -> None:
    """Tell of a state that was seen."""
    put_line(folder, ANNOUNCED, f"{name} {state}")


def announce_all(futures: Any, folder: str) -> None:
    """Tell of states as they are seen."""
    for future in futures:
        future.add_done_callback(
            lambda future: announce(folder, future.task_run_id, future.state.name)
        )


def tell(owner: Any, run: Any, state: Any) -> None:
    """A hook, of flows and tasks."""
    announce(os.environ[FOLDER], run.id, state.name)


@task
def square(number: int, folder: str) -> int:
    time.sleep(mark(folder))
    return number * number


@task
def shift(number: int, folder: str) -> int:
    time.sleep(mark(folder))
    return number + 7


@task(retries=FLAKY_RETRIES, retry_delay_seconds=0.02, on_completion=[tell])
def flaky(number: int, folder: str) -> int:
    time.sleep(mark(folder))
    attempt = runtime.task_run.run_count or 1
    if number % 3 == 0 and attempt <= FLAKY_RETRIES:
        raise ConnectionError(f"{number} is not there yet")
    return -number


@task
def spread(size: int, folder: str) -> list[int]:
    time.sleep(mark(folder))
    return list(range(size))


@task
def grow(number: int, folder: str) -> int:
    time.sleep(mark(folder))
    return number * 3


@task
def step(number: int, folder: str) -> int:
    time.sleep(mark(folder))
    return number + 1


@task
def block(number: int, folder: str, large_bytes: int) -> bytes:
    time.sleep(mark(folder))
    return bytes([number % 256]) * _block_bytes(number, large_bytes)


@task
def weigh(value: bytes, folder: str) -> int:
    time.sleep(mark(folder))
    return len(value) + value[0]


@task
async def fetch(number: int, folder: str) -> int:
    await asyncio.sleep(mark(folder))
    return number + 1000


@task
def hold(number: int, folder: str) -> int:
    with concurrency(LIMIT):
        time.sleep(mark(folder))
    return number


@task(cache_policy=INPUTS, on_completion=[tell])
def price(number: int, folder: str) -> int:
    time.sleep(mark(folder))
    return number * 10


@task(cache_policy=INPUTS.configure(isolation="serializable"))
def rate(number: int, folder: str) -> int:
    time.sleep(mark(folder))
    return number * 100


@task
def add(values: list[int], folder: str) -> int:
    time.sleep(mark(folder))
    return sum(values)


@flow(name="chaos-part", on_completion=[tell])
def part(count: int, folder: str) -> int:
    prices = price.map(range(count), folder)
    announce_all(prices, folder)
    return add(prices.result(), folder)


@flow(name="chaos", persist_result=True, on_completion=[tell])
def disturbed(size: int, folder: Path, large_bytes: int = LARGE_BYTES) -> Any:
    """Do a little of everything; most of it is under way at once."""
    place = str(folder)
    squares = square.map(range(size), place)
    shifted = shift.map(squares, place)
    grown = grow.map(spread.submit(size, place), place)
    steps = [step.submit(0, place)]
    for _ in range(size // 8):
        steps.append(step.submit(steps[-1], place))
    blocks = block.map(range(size // 8), place, large_bytes)
    weights = weigh.map(blocks, place)
    shaky = flaky.map(range(size // 2), place)
    fetched = fetch.map(range(size // 4), place)
    held = hold.map(range(3), place)
    rates = rate.map([number % 2 for number in range(6)], place)
    known = part(size // 4, place)
    priced = price.map(range(size // 2), place)  # the first half of them is in the cache
    found = [squares, shifted, grown, steps, weights, shaky, fetched, held, rates, priced]
    for futures in found:
        announce_all(futures, place)
    priced.wait()
    announce(place, priced[0].task_run_id, priced[0].state.name)
    total = add(shifted.result(), place)
    for futures in found:
        for future in futures:
            future.wait()
    put_line(place, ENDS, str(os.getpid()))
    return [*found[1:], known, total]


def undisturbed(size: int, large_bytes: int = LARGE_BYTES) -> list[Any]:
    """What the flow gives when nothing happens to it."""
    shifted = [n * n + 7 for n in range(size)]
    return [
        shifted,
        [n * 3 for n in range(size)],
        [n + 1 for n in range(size // 8 + 1)],
        [_block_bytes(n, large_bytes) + n % 256 for n in range(size // 8)],
        [-n for n in range(size // 2)],
        [n + 1000 for n in range(size // 4)],
        [0, 1, 2],
        [n % 2 * 100 for n in range(6)],
        [n * 10 for n in range(size // 2)],
        sum(n * 10 for n in range(size // 4)),
        sum(shifted),
    ]


def _block_bytes(number: int, large_bytes: int) -> int:
    return large_bytes if number % 4 == 1 else _BLOCK_BYTES


def rough_calls(size: int) -> int:
    """About how many calls an undisturbed run makes."""
    return size * 5
