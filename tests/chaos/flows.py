"""The flow that is disturbed: maps, chains, a dynamic map, retries; every call leaves a mark.

Its result follows from its size alone, so that it is known what an undisturbed run gives.
"""

from __future__ import annotations

import os
import random
import time
from pathlib import Path
from typing import Any

from dataflow import flow, runtime, task

FLAKY_RETRIES = 2


def mark(folder: str, name: str, number: int) -> None:
    """Note that a call is made, and by whom."""
    line = f"{os.getpid()}\n".encode()
    place = os.open(f"{folder}/calls/{name}-{number}", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    try:
        os.write(place, line)
    finally:
        os.close(place)
    Path(f"{folder}/workers/{os.getpid()}").touch()
    time.sleep(random.uniform(0.002, 0.02))


@task
def square(number: int, folder: str) -> int:
    mark(folder, "square", number)
    return number * number


@task
def shift(number: int, folder: str) -> int:
    mark(folder, "shift", number)
    return number + 7


@task(retries=FLAKY_RETRIES, retry_delay_seconds=0.02)
def flaky(number: int, folder: str) -> int:
    mark(folder, "flaky", number)
    attempt = runtime.task_run.run_count or 1
    if number % 3 == 0 and attempt <= FLAKY_RETRIES:
        raise ConnectionError(f"{number} is not there yet")
    return -number


@task
def spread(size: int, folder: str) -> list[int]:
    mark(folder, "spread", size)
    return list(range(size))


@task
def grow(number: int, folder: str) -> int:
    mark(folder, "grow", number)
    return number * 3


@task
def step(number: int, folder: str) -> int:
    mark(folder, "step", number)
    return number + 1


@task
def large(number: int, folder: str) -> bytes:
    mark(folder, "large", number)
    return bytes([number % 256]) * 1_500_000


@task
def weigh(value: bytes, number: int, folder: str) -> int:
    mark(folder, "weigh", number)
    return len(value) + value[0]


@flow(name="chaos")
def disturbed(size: int, folder: str) -> Any:
    futures = []
    squares = square.map(range(size), folder)
    shifted = shift.map(squares, folder)
    grown = grow.map(spread.submit(size, folder), folder)
    steps = [step.submit(0, folder)]
    for _ in range(size // 4):
        steps.append(step.submit(steps[-1], folder))
    weights = [weigh.submit(large.submit(n, folder), n, folder) for n in range(size // 20)]
    shaky = flaky.map(range(size // 2), folder)
    for found in (squares, shifted, steps, weights, shaky, grown):
        futures += list(found)
        for future in found:
            future.add_done_callback(lambda future: announce(future, folder))
    return [shifted, grown, steps, weights, shaky]


def announce(future: Any, folder: str) -> None:
    """Tell of a state that was seen."""
    line = f"{future.task_run_id} {future.state.name}\n".encode()
    place = os.open(f"{folder}/announced", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    try:
        os.write(place, line)
    finally:
        os.close(place)


def undisturbed(size: int) -> list[list[int]]:
    """What the flow gives when nothing happens to it."""
    return [
        [n * n + 7 for n in range(size)],
        [n * 3 for n in range(size)],
        [n + 1 for n in range(size // 4 + 1)],
        [1_500_000 + n % 256 for n in range(size // 20)],
        [-n for n in range(size // 2)],
    ]
