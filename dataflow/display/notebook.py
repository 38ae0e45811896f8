"""Progress in a notebook: one piece of HTML below the cell that is replaced as things go on."""

from __future__ import annotations

from html import escape
from time import monotonic
from typing import Any

from dataflow.display.quantities import count_text, duration_text, rate_text
from dataflow.display.tally import Board, Row, Tally

_COLOURS = {"good": "#2e8b57", "bad": "#c0392b", "skip": "#c58b00", "going": "#2f7fb8"}
_CELL = "padding:1px 12px 1px 0;text-align:left;white-space:nowrap;border:none"
_NUMBER = _CELL.replace("left;", "right;", 1) + ";font-variant-numeric:tabular-nums"
_MOST_ROWS = 30


def in_notebook() -> bool:
    """Whether this process is the kernel of a notebook."""
    import sys

    module = sys.modules.get("IPython")
    shell = module.get_ipython() if module is not None else None
    return type(shell).__name__ == "ZMQInteractiveShell"


class NotebookScreen:
    """Shows a tally below the cell that is being run."""

    interval_seconds = 0.25

    def __init__(self, tally: Tally) -> None:
        self._tally = tally
        self._handle: Any = None

    def begin(self) -> None:
        """Come up."""
        from IPython.display import HTML, display

        self._handle = display(HTML(self._html()), display_id=True)  # type: ignore[no-untyped-call]

    def update(self) -> None:
        """Show how things are."""
        if self._handle is not None:
            from IPython.display import HTML

            self._handle.update(HTML(self._html()))  # type: ignore[no-untyped-call]

    def end(self) -> None:
        """Show how it ended."""
        self.update()

    def _html(self) -> str:
        return "".join(board_html(board) for board in list(self._tally.boards))


def board_html(board: Board) -> str:
    """A board as HTML that needs no style sheet and no script."""
    now = monotonic()
    rows = list(board.all_rows())
    body = "".join(_row_html(row, board, now) for row in rows[:_MOST_ROWS])
    more = len(rows) - _MOST_ROWS
    if more > 0:
        body += f'<tr><td style="{_CELL}" colspan="6">… and {more} more</td></tr>'
    table = f'<table style="border:none">{body}</table>'
    return f'<div style="margin:4px 0">{_heading(board, now)}{table}</div>'


def _heading(board: Board, now: float) -> str:
    time = duration_text(board.seconds(now))
    if board.state is None:
        mark, said, colour = "●", time, _COLOURS["going"]
    else:
        good = board.state.is_completed()
        mark, colour = ("✓", _COLOURS["good"]) if good else ("✗", _COLOURS["bad"])
        said = f"{board.state.name} in {time}"
    return (
        f'<span style="color:{colour}">{mark}</span> <b>{escape(board.flow_name)}</b> '
        f'<span style="opacity:.6">{escape(board.run_name)}</span> '
        f'<span style="color:{colour}">{escape(said)}</span>'
    )


def _row_html(row: Row, board: Board, now: float) -> str:
    whole = "?" if row.unknown else count_text(row.total)
    cells = [
        (f"{_CELL};padding-left:{row.depth * 16}px", escape(row.title)),
        (_CELL, _bar_html(row)),
        (_NUMBER, f"{count_text(row.done)}/{whole}"),
        (f"{_NUMBER};color:{_COLOURS['bad']}", _named(row.failed, "failed")),
        (f"{_NUMBER};color:{_COLOURS['skip']}", _named(row.not_run, "not run")),
        (f"{_NUMBER};opacity:.7", _pace(row, board, now)),
    ]
    return "<tr>" + "".join(f'<td style="{style}">{text}</td>' for style, text in cells) + "</tr>"


def _named(count: int, word: str) -> str:
    return f"{count_text(count)} {word}" if count else ""


def _pace(row: Row, board: Board, now: float) -> str:
    if row.is_over or board.state is not None:
        return duration_text(row.took_seconds) if row.took_seconds is not None else ""
    left = row.seconds_left(now)
    parts = [
        _named(row.running, "running"),
        rate_text(row.rate(now)),
        f"{duration_text(max(left, 1.0))} left" if left is not None else "",
    ]
    return " · ".join(part for part in parts if part)


def _bar_html(row: Row) -> str:
    if row.unknown or not row.total:
        share = 100.0 if row.is_over else 0.0
    else:
        share = 100.0 * min(row.done / row.total, 1.0)
    kind = "bad" if row.failed else "skip" if row.not_run else "good" if row.is_over else "going"
    return (
        '<div style="width:180px;height:8px;border-radius:4px;background:rgba(128,128,128,.25)">'
        f'<div style="width:{share:.1f}%;height:8px;border-radius:4px;'
        f'background:{_COLOURS[kind]}"></div></div>'
    )
