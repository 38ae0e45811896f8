"""Boards of Dask workers: what is read off them when a worker has died, at whatever moment."""

from __future__ import annotations

from array import array
from pathlib import Path

import pytest

from dataflow.worker.board import BATCH, BOARD_BYTES, POSITION, STEP_BATCH, STEP_POSITION
from runners.dask.boards import find_position, step_board
from tests.worker.one_call import awaited, batch, plain


def write_board(path: Path, **fields: int) -> None:
    places = {
        "batch": BATCH,
        "position": POSITION,
        "step_batch": STEP_BATCH,
        "step_position": STEP_POSITION,
    }
    board = array("q", bytes(BOARD_BYTES))
    for name, value in fields.items():
        board[places[name]] = value
    path.write_bytes(board.tobytes())


def test_the_call_that_a_worker_was_at(tmp_path: Path) -> None:
    write_board(tmp_path / "10-1", batch=7, position=3)
    write_board(tmp_path / "11-1", batch=8, position=4)
    assert find_position(str(tmp_path), batch(plain, 8)) == 4
    assert find_position(str(tmp_path), batch(plain, 8)) == -1  # it runs again elsewhere
    assert find_position(str(tmp_path), batch(plain, 9)) == -1


@pytest.mark.parametrize("size", [0, 8, 39])
def test_a_worker_that_dies_while_it_makes_its_board(tmp_path: Path, size: int) -> None:
    (tmp_path / "10-1").write_bytes(b"\0" * size)
    write_board(tmp_path / "11-1", batch=8, position=4)
    assert find_position(str(tmp_path), batch(plain, 8)) == 4


def test_of_all_boards_of_a_process_the_step_of_its_loop_counts(tmp_path: Path) -> None:
    write_board(tmp_path / "10-1", batch=7)
    write_board(tmp_path / "10-2", batch=8, step_batch=8, step_position=5)
    write_board(tmp_path / "11-1", batch=9)
    assert find_position(str(tmp_path), batch(awaited, 8)) == 5
    assert find_position(str(tmp_path), batch(awaited, 7)) == -1
    assert find_position(str(tmp_path), batch(awaited, 9)) is None


def test_the_step_of_the_loop_of_a_process(tmp_path: Path) -> None:
    write_board(tmp_path / "10-1", batch=7, position=3)
    write_board(tmp_path / "10-2", step_batch=8, step_position=5)
    write_board(tmp_path / "11-1", step_batch=9, step_position=6)
    board = step_board(str(tmp_path), 10)
    assert (board[STEP_BATCH], board[STEP_POSITION]) == (8, 5)
    assert step_board(str(tmp_path), 12)[STEP_BATCH] == 0
