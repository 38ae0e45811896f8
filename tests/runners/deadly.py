"""Tasks that end their workers, in a module that a new worker imports in no time."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from pathlib import Path

from dataflow import runtime, task

FAR = 12_345


@task
def dies_at(x, deadly):
    if x == deadly:
        os._exit(3)
    return x


@task
async def dies_at_async(x, deadly):
    await asyncio.sleep(0.01 * (x % 7))
    if x == deadly:
        os._exit(3)
    return x


@task(timeout_seconds=0.3, retries=1)
def hangs_once(x):
    if x == 3 and runtime.task_run.run_count == 1:
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGALRM})  # as code in C does
        time.sleep(60)
    return runtime.task_run.run_count


@task
def dies_far_on(x):
    if x == FAR:
        os._exit(3)
    return x


@task
def add_one(x):
    return x + 1


@task
def naps(x, folder):
    (Path(folder) / f"{x}-{os.getpid()}").touch()
    time.sleep(0.05)
    return x


@task(batch_size=1)
def waits_to_be_ended(x, folder):
    """One call tells which process it is in, and waits for its end, the first time."""
    place, new = Path(folder) / "at-it", Path(folder) / "new"
    if x == 2 and not place.exists():
        new.write_text(str(os.getpid()))
        new.rename(place)
        time.sleep(1000)
    return x


@task
def dies_often(x):
    if x % 20 == 7:
        os.kill(os.getpid(), signal.SIGKILL)
    return x


@task
def large(x):
    return bytes([x]) * 3_000_000


@task
def size(value):
    return len(value), value[0]


@task
async def dies_async(x):
    if x == 2:
        os._exit(1)
    return x
