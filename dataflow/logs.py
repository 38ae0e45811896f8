"""Log lines on the terminal.

Lines go to standard error, in the colours of their level if that is a terminal; a live display may
take over the printing while it is on the screen.
"""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable, Iterable
from typing import Any

from dataflow.settings import get_settings

_COLOURS = {
    logging.DEBUG: "2",
    logging.WARNING: "33",
    logging.ERROR: "31",
    logging.CRITICAL: "31;1",
}
_writer: Callable[[str], None] | None = None


def write_through(writer: Callable[[str], None] | None) -> None:
    """Have lines written by ``writer`` (a live display) instead of directly; None ends that."""
    global _writer
    _writer = writer


def show_logs(records: Iterable[Any]) -> None:
    """Show log records of runs (:class:`dataflow.model.records.LogRecord`)."""
    if not get_settings().log_to_terminal:
        return
    in_colour = sys.stderr.isatty()
    lines = [line_text(record, in_colour) for record in records]
    if _writer is not None:
        for line in lines:
            _writer(line)
        return
    try:
        sys.stderr.write("".join(line + "\n" for line in lines))
        sys.stderr.flush()
    except (OSError, ValueError):
        pass  # the terminal is gone; the lines are in the store


def line_text(record: Any, in_colour: bool = False) -> str:
    """A log record (of a run, or as the store has it) as one line of text."""
    moment = time.strftime("%H:%M:%S", time.localtime(record.timestamp_ns / 1e9))
    thousandths = record.timestamp_ns // 1_000_000 % 1000
    level = logging.getLevelName(record.level)
    kind = "Flow run" if record.node is None else "Task run"
    who = f"{kind} {record.task_run_name!r} - " if record.task_run_name else ""
    text = f"{moment}.{thousandths:03d} | {level:<7} | {who}{record.message}"
    colour = _COLOURS.get(record.level)
    if colour and in_colour:
        return f"\x1b[{colour}m{text}\x1b[0m"
    return text
