"""Logs of runs: what ``get_run_logger()`` and captured prints write, and where it goes.

A *log target* is whoever runs now, a task run or a flow run; a context variable holds it, so that
plain ``logging`` records find the run that they belong to, in threads and coroutines alike.
"""

from __future__ import annotations

import builtins
import logging
import os
import time
from contextvars import ContextVar
from typing import Any, Protocol

from dataflow.errors import MissingContextError
from dataflow.settings import get_settings

_CAPTURE = "DATAFLOW_LOG_CAPTURE"
TASK_RUNS = "dataflow.task_runs"
FLOW_RUNS = "dataflow.flow_runs"


class LogTarget(Protocol):
    """Whoever a log line belongs to."""

    logger_name: str

    @property
    def log_prints(self) -> bool:
        """Whether prints become log lines."""

    @property
    def log_level(self) -> int:
        """Lines below this level are dropped."""

    def log(self, timestamp_ns: int, level: int, logger: str, message: str) -> None:
        """Take one line."""


log_target: ContextVar[LogTarget | None] = ContextVar("dataflow_log_target", default=None)

_print = builtins.print


class _RunHandler(logging.Handler):
    """Hands log records to the run that they were made in."""

    def emit(self, record: logging.LogRecord) -> None:
        target = log_target.get()
        if target is None or record.levelno < target.log_level:
            return
        try:
            message = record.getMessage()
            if record.exc_info and record.exc_info[0]:
                message += "\n" + logging.Formatter().formatException(record.exc_info)
        except Exception as error:
            message = f"(a log message could not be formatted: {error}) {record.msg!r}"
        target.log(int(record.created * 1e9), record.levelno, record.name, message)


_handler = _RunHandler()


def _prepare(name: str) -> logging.Logger:
    logger = logging.getLogger(name)
    if _handler not in logger.handlers:
        logger.addHandler(_handler)
        logger.setLevel(logging.DEBUG)
        logger.propagate = False
    return logger


def get_run_logger(**extra: Any) -> logging.LoggerAdapter[logging.Logger]:
    """The logger of the task run or flow run that calls this.

    Its lines go to the store and to the terminal, with the run's names, from whichever process.

    Raises:
        MissingContextError: no run is going on here.
    """
    target = log_target.get()
    if target is None:
        raise MissingContextError(
            "get_run_logger() was called outside a run.",
            hint="Call it inside a flow or a task, or use logging.getLogger(__name__) there.",
        )
    return logging.LoggerAdapter(_prepare(target.logger_name), extra)


def capture_loggers() -> None:
    """Have the loggers named in the settings (``log_capture``) reach the runs too."""
    if _CAPTURE not in os.environ:  # asked for each batch: it takes long to read all settings
        return
    for name in filter(None, get_settings().log_capture.split(",")):
        logger = logging.getLogger(name.strip())
        if _handler not in logger.handlers:
            logger.addHandler(_handler)


def capture_prints() -> None:
    """From now on ``print`` inside a run that wants it (``log_prints``) makes a log line."""
    if builtins.print is not _captured_print:
        builtins.print = _captured_print


def _captured_print(*values: Any, **options: Any) -> None:
    target = log_target.get()
    if target is None or not target.log_prints or options.get("file") is not None:
        _print(*values, **options)
        return
    separator = options.get("sep")
    text = (" " if separator is None else separator).join(map(str, values))
    target.log(time.time_ns(), logging.INFO, target.logger_name, text)
