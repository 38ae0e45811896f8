"""Progress as lines, for files and pipes: each row's end, a summary every ten seconds, the end."""

from __future__ import annotations

import contextlib
import sys
import time
from time import monotonic
from typing import TextIO

from dataflow.display.quantities import count_text, duration_text, percent_text, rate_text
from dataflow.display.tally import Board, Row, Tally
from dataflow.settings import get_settings

SUMMARY_SECONDS = 10.0
_MOST_IN_A_SUMMARY = 6


class PlainScreen:
    """Writes lines that look like log lines."""

    interval_seconds = 0.5

    def __init__(self, tally: Tally, stream: TextIO | None = None) -> None:
        self._tally = tally
        self._stream = stream or sys.stderr
        self._told: set[Row] = set()
        self._begun: set[str] = set()
        self._next_summary = monotonic() + SUMMARY_SECONDS

    def begin(self) -> None:
        """Nothing to prepare."""

    def update(self) -> None:
        """Write what has happened since the last time."""
        now = monotonic()
        for board in self._tally.take_ended():
            self._tell_end(board)
        for board in list(self._tally.boards):
            self._tell_start(board)
            self._tell_ends(board)
        if now >= self._next_summary:
            self._next_summary = now + SUMMARY_SECONDS
            for board in list(self._tally.boards):
                self._write(board, _summary(board, now))

    def end(self) -> None:
        """Write how it ended."""
        for board in list(self._tally.boards):
            self._tell_end(board)

    def _tell_end(self, board: Board) -> None:
        self._tell_start(board)
        if board.seconds(monotonic()) >= 1.0:  # of a shorter run the last line says it all
            self._tell_ends(board)
        self._write(board, _ending(board))

    def _tell_start(self, board: Board) -> None:
        if board.run_id in self._begun:
            return
        self._begun.add(board.run_id)
        settings = get_settings()
        if not (settings.log_to_terminal and settings.log_level in ("DEBUG", "INFO")):
            self._write(board, f"begins (flow {board.flow_name!r})")

    def _tell_ends(self, board: Board) -> None:
        for row in board.all_rows():
            if row.is_over and row.total and row not in self._told:
                self._told.add(row)
                took = row.took_seconds or 0.0
                after = f" in {duration_text(took)}" if took >= 0.05 else ""
                self._write(board, f"{row.title}: {_counts(row)}{after}")

    def _write(self, board: Board, text: str) -> None:
        moment = time.strftime("%H:%M:%S")
        thousandths = time.time_ns() // 1_000_000 % 1000
        with contextlib.suppress(OSError, ValueError):
            self._stream.write(
                f"{moment}.{thousandths:03d} | STATUS  | {board.run_name!r} - {text}\n"
            )
            self._stream.flush()


def _counts(row: Row) -> str:
    whole = "?" if row.unknown else count_text(row.total)
    text = f"{count_text(row.done)} of {whole} done"
    if not row.unknown and row.done < row.total:
        text += f" ({percent_text(row.done, row.total)})"
    if row.failed:
        text += f", {count_text(row.failed)} failed"
    if row.not_run:
        text += f", {count_text(row.not_run)} not run"
    return text


def _summary(board: Board, now: float) -> str:
    rows = [row for row in board.all_rows() if row.began is not None and not row.is_over]
    if not rows:
        return f"still running after {duration_text(board.seconds(now))}"
    shown = [_progress(row, now) for row in rows[:_MOST_IN_A_SUMMARY]]
    more = len(rows) - len(shown)
    return "; ".join([*shown, *([f"and {more} more"] if more > 0 else [])])


def _progress(row: Row, now: float) -> str:
    text = f"{row.title}: {_counts(row)}"
    rate, left = row.rate(now), row.seconds_left(now)
    if rate:
        text += f", {rate_text(rate)}"
    if left is not None:
        text += f", about {duration_text(max(left, 1.0))} left"
    return text


def _ending(board: Board) -> str:
    rows = list(board.all_rows())
    runs = sum(row.done for row in rows)
    took = duration_text(board.seconds(monotonic()))
    text = f"{count_text(runs)} task run{'' if runs == 1 else 's'} in {took}"
    for count, word in (
        (sum(row.failed for row in rows), "failed"),
        (sum(row.not_run for row in rows), "not run"),
    ):
        if count:
            text += f", {count_text(count)} {word}"
    state = board.state.name if board.state is not None else "still running"
    return f"{state}: {text}"
