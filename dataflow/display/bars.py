"""Progress as bars at the bottom of a terminal, one for each row of the tally.

There is never a line more than fits; log lines and prints stand above.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from time import monotonic
from typing import TextIO

from rich.console import Console
from rich.progress_bar import ProgressBar
from rich.style import Style
from rich.table import Table
from rich.text import Text

from dataflow import logs
from dataflow.display.live_region import LiveRegion
from dataflow.display.quantities import count_text, duration_text, rate_text
from dataflow.display.tally import Board, Row, Tally

_BAR_WIDTHS = range(8, 41)
_MOST_ROWS = 16
_MOST_ROWS_AT_THE_END = 40
_COLUMNS = ("done", "failed", "not_run", "running", "rate", "time")
_DROPPED_FIRST = ("rate", "running")
_TITLE_WIDTH = 32


class BarScreen:
    """Draws a tally on a terminal.

    Attributes:
        interval_seconds: how often it wants to be updated.
    """

    interval_seconds = 0.1

    def __init__(self, tally: Tally, stream: TextIO | None = None) -> None:
        self._tally = tally
        self._stream = stream or sys.stderr
        self._region = LiveRegion(self._stream)
        self._frame = 0

    def begin(self) -> None:
        """Come up."""
        self._console = Console(
            file=self._stream, force_terminal=True, highlight=False, legacy_windows=False
        )
        self._region.take_over()
        logs.write_through(lambda line: self._region.above(line + "\n"))

    def update(self) -> None:
        """Draw how things are."""
        self._frame += 1
        width, height = self._size()
        for line in self._render(self._tally.take_ended(), width, _MOST_ROWS_AT_THE_END):
            self._region.above(line + "\n")
        boards = list(self._tally.boards)
        most = max(min(height - 4 - 2 * len(boards), _MOST_ROWS), 3)
        self._region.draw(self._render(boards, width, most))

    def end(self) -> None:
        """Leave the last state of things on the screen."""
        logs.write_through(None)
        width, _ = self._size()
        self._region.close(self._render(list(self._tally.boards), width, _MOST_ROWS_AT_THE_END))

    def _size(self) -> tuple[int, int]:
        try:
            size = os.get_terminal_size(self._stream.fileno())
        except (OSError, ValueError, AttributeError):
            return self._console.width, 24
        return size.columns or 80, size.lines or 24

    def _render(self, boards: Sequence[Board], width: int, most: int) -> list[str]:
        painter = Painter(self._console, width - 1, self._frame)
        return [line for board in boards for line in painter.lines(board, most)]


@dataclass(slots=True)
class Painter:
    """Renders boards for one width."""

    console: Console
    width: int
    frame: int = 0

    def lines(self, board: Board, most: int) -> list[str]:
        """A board as lines with colours: a heading, the rows that matter most, what is left out."""
        now = monotonic()
        rows = list(board.all_rows())
        shown = _most_telling(rows, most)
        with self.console.capture() as capture:
            self._print(self._heading(board, now))
            if shown:
                self._print(self._table(shown, board, now))
            if len(shown) < len(rows):
                left_out = [row for row in rows if row not in set(shown)]
                self._print(Text(f"  … {_left_out(left_out)}", style="dim"))
        return capture.get().rstrip("\n").split("\n")

    def _print(self, renderable: Text | Table) -> None:
        self.console.print(renderable, width=self.width, no_wrap=True, overflow="ellipsis")

    def _heading(self, board: Board, now: float) -> Text:
        glyph, style = self._glyph(board)
        time = duration_text(board.seconds(now))
        text = Text.assemble((glyph, style), " ", (board.flow_name, "bold"), "  ")
        text.append(board.run_name, "dim")
        if board.state is not None:
            text.append(f"  {board.state.name} in {time}", style)
        else:
            text.append(f"  {time}", "dim")
        text.truncate(self.width, overflow="ellipsis")
        return text

    def _glyph(self, board: Board) -> tuple[str, str]:
        plain = self.console.options.ascii_only
        if board.state is None:
            frames = "|/-\\" if plain else "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
            return frames[self.frame % len(frames)], "cyan"
        if board.state.is_completed():
            return ("+" if plain else "✓"), "bold green"
        if board.state.is_cancelled():
            return ("o" if plain else "■"), "bold yellow"
        return ("x" if plain else "✗"), "bold red"

    def _table(self, rows: Sequence[Row], board: Board, now: float) -> Table:
        cells = [_cells(row, board, now) for row in rows]
        columns = [name for name in _COLUMNS if any(name in each for each in cells)]
        titles = [_title(row) for row in rows]
        bar, columns = self._fit(titles, cells, columns)
        table = Table.grid(padding=(0, 2, 0, 0), pad_edge=False)
        table.add_column(max_width=_TITLE_WIDTH, no_wrap=True, overflow="ellipsis")
        if bar:
            table.add_column(width=bar, no_wrap=True)
        for _ in columns:
            table.add_column(justify="right", no_wrap=True)
        for row, title, each in zip(rows, titles, cells, strict=True):
            middle = [_bar(row, bar)] if bar else []
            table.add_row(title, *middle, *(each.get(name, "") for name in columns))
        return table

    def _fit(
        self, titles: Sequence[Text], cells: Sequence[dict[str, Text]], columns: list[str]
    ) -> tuple[int, list[str]]:
        """The width of the bar, and the columns there is room for."""
        left = min(max(title.cell_len for title in titles), _TITLE_WIDTH) + 2
        for dropped in (None, *_DROPPED_FIRST):
            columns = [name for name in columns if name != dropped]
            used = sum(
                2 + max(each[name].cell_len for each in cells if name in each) for name in columns
            )
            room = self.width - left - used - 2
            if room >= _BAR_WIDTHS.start:
                return min(room, _BAR_WIDTHS.stop - 1), columns
        return 0, columns


def _title(row: Row) -> Text:
    return Text("  " * (row.depth + 1) + row.title, style="bold" if row.kind == "flow" else "")


def _cells(row: Row, board: Board, now: float) -> dict[str, Text]:
    whole = "?" if row.unknown else count_text(row.total)
    cells = {"done": Text(f"{count_text(row.done)}/{whole}")}
    if row.failed:
        cells["failed"] = Text(f"{count_text(row.failed)} failed", "red")
    if row.not_run:
        cells["not_run"] = Text(f"{count_text(row.not_run)} not run", "yellow")
    if row.running and board.state is None:
        cells["running"] = Text(f"{count_text(row.running)} running", "cyan")
    if row.is_over or board.state is not None:
        if row.took_seconds is not None:
            cells["time"] = Text(duration_text(row.took_seconds), "dim")
        return cells
    rate, left = row.rate(now), row.seconds_left(now)
    if rate:
        cells["rate"] = Text(rate_text(rate), "dim")
    if left is not None:
        cells["time"] = Text(f"{duration_text(left) if left >= 1 else '1 s'} left", "dim")
    return cells


def _bar(row: Row, width: int) -> ProgressBar:
    colour = "red" if row.failed else "yellow" if row.not_run else "green"
    return ProgressBar(
        total=None if row.unknown and row.running else max(row.total, 1),
        completed=row.done if row.total else float(row.is_over),
        width=width,
        style=Style(color="grey23"),
        complete_style=Style(color=colour if row.failed or row.not_run else "cyan"),
        finished_style=Style(color=colour),
        pulse_style=Style(color="cyan"),
    )


def _most_telling(rows: Sequence[Row], most: int) -> list[Row]:
    """The rows to show where not all can be: what is going on, what failed, what ended last."""
    if len(rows) <= most:
        return list(rows)
    ranked = sorted(rows, key=_telling, reverse=True)
    chosen = set(ranked[: most - 1])
    return [row for row in rows if row in chosen]


def _telling(row: Row) -> tuple[int, float]:
    if row.running or (row.began is not None and not row.is_over):
        return 3, row.latest
    if row.failed:
        return 2, row.latest
    return (1, row.latest) if row.is_over else (0, 0.0)


def _left_out(rows: Sequence[Row]) -> str:
    over = sum(row.is_over for row in rows)
    parts = [(over, "done"), (len(rows) - over, "waiting")]
    named = ", ".join(f"{count_text(count)} {word}" for count, word in parts if count)
    return f"and {count_text(len(rows))} more: {named}"
