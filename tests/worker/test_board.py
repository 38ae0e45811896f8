"""The board tells which call a dead worker was at, also among concurrent ones."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from dataflow.worker.board import BATCH, POSITION, STEP_BATCH, STEP_POSITION, WORDS, culprit, noted
from tests.worker.one_call import awaited, batch, plain


def test_the_call_under_way_is_to_blame() -> None:
    board = [0] * WORDS
    board[BATCH], board[POSITION] = 7, 3
    assert culprit(board, batch(plain, 7)) == 3
    assert culprit(board, batch(plain, 8)) == -1
    assert culprit(board, batch(awaited, 9)) is None


def test_the_step_that_an_event_loop_was_making_is_to_blame() -> None:
    board = [0] * WORDS
    board[BATCH], board[POSITION] = 7, 3
    board[STEP_BATCH], board[STEP_POSITION] = 9, 4
    assert culprit(board, batch(awaited, 9)) == 4
    assert culprit(board, batch(awaited, 10)) == -1
    assert culprit(board, batch(plain, 7)) == -1


def test_steps_are_noted_and_nothing_between_them() -> None:
    board = [0] * WORDS
    seen = []

    async def look(name: str) -> str:
        seen.append((name, board[STEP_BATCH], board[STEP_POSITION]))
        await asyncio.sleep(0)
        seen.append((name, board[STEP_BATCH], board[STEP_POSITION]))
        return name

    async def run_both() -> list[str]:
        async def one(name: str, position: int) -> str:
            result: str = await noted(look(name), board, 5, position)
            return result

        both = asyncio.gather(one("a", 1), one("b", 2))
        await asyncio.sleep(0)
        assert board[STEP_BATCH] == 0
        return list(await both)

    assert asyncio.run(run_both()) == ["a", "b"]
    assert seen == [("a", 5, 1), ("b", 5, 2)] * 2


def test_exceptions_and_cancelling_go_through() -> None:
    board = [0] * WORDS
    ended = []

    async def sleep() -> None:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            ended.append("cancelled")
            raise

    async def fail() -> None:
        await asyncio.sleep(0)
        raise ValueError("its own")

    async def run(coroutine: Any) -> None:
        await noted(coroutine, board, 1, 0)

    async def both() -> None:
        with pytest.raises(ValueError, match="its own"):
            await run(fail())
        sleeping = asyncio.ensure_future(run(sleep()))
        await asyncio.sleep(0)
        sleeping.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sleeping

    asyncio.run(both())
    assert ended == ["cancelled"]
    assert board[STEP_BATCH] == 0
