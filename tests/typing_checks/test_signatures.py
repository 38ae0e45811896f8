"""What type checkers know of tasks and flows: mypy reads this file as part of linting."""

from __future__ import annotations

from typing import TYPE_CHECKING, assert_type

import dataflow
from dataflow import FutureList, TaskFuture, flow, task


@task
def text(number: int, *, sign: str = "") -> str:
    return f"{sign}{number}"


@task(retries=2)
async def later(number: int) -> float:
    return float(number)


@flow(task_runner="inline")
def whole(name: str) -> int:
    return len(name)


@flow
async def awaited(name: str) -> bytes:
    return name.encode()


if TYPE_CHECKING:
    assert_type(text(1, sign="-"), str)
    assert_type(text.submit(1), TaskFuture[str])
    assert_type(text.submit(1).result(), str)
    assert_type(text.map([1, 2]), FutureList[str])
    assert_type(text.map([1, 2])[0], TaskFuture[str])
    assert_type(text.with_options(name="other")(1), str)
    assert_type(later.submit(1), TaskFuture[float])
    assert_type(later.map([1]), FutureList[float])
    assert_type(whole("x"), int)
    text("wrong")  # type: ignore[arg-type, call-overload, unused-ignore]

    async def in_async_code() -> None:
        assert_type(await later(1), float)
        assert_type(await later.submit(1), float)
        assert_type(await awaited("x"), bytes)


def test_names_checked_here_are_public() -> None:
    assert {"FutureList", "TaskFuture", "flow", "task"} <= set(dataflow.__all__)
