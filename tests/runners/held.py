"""Tasks whose values are counted by those who look for them in the same worker."""

from __future__ import annotations

import asyncio
import gc
import weakref
from typing import Any

from dataflow import task

known: weakref.WeakSet[Held] = weakref.WeakSet()


class Held:
    """A value that is known of for as long as it is there."""

    def __init__(self, number: int) -> None:
        self.number = number
        known.add(self)

    def __reduce__(self) -> Any:
        return Held, (self.number,)


@task
def make(number: int) -> Held:
    gc.disable()  # what nobody refers to is gone all the same
    return Held(number)


@task
async def make_async(number: int) -> Held:
    gc.disable()
    await asyncio.sleep(0.001)
    return Held(number)


@task
def pass_on(held: Held) -> Held:
    return Held(held.number)


@task
def use(held: Held) -> int:
    return held.number


@task
def refuse(held: Held) -> None:
    raise ValueError(held.number)


@task
async def refuse_async(held: Held) -> None:
    await asyncio.sleep(0.001)
    raise ValueError(held.number)


@task
def count(_number: int) -> int:
    """How many there are in this worker."""
    return len(known)
