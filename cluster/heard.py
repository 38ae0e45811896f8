"""The last that a cluster's processes said, for whoever waits for workers in vain.

The process that hosts a cluster hears it as log records: what Dask warns of, how workers ended, and
what processes elsewhere write (``dataflow.cluster``).
"""

from __future__ import annotations

import logging
import sys
from collections import deque

logger = logging.getLogger("dataflow.cluster")
"""What a provider and the processes that it starts say; a host writes it into its log."""

_LINES = 12
_CHARACTERS = 500
_TELLING = ("distributed.nanny", "distributed.deploy", "dataflow.cluster")


class Heard(logging.Handler):
    """Keeps the last lines; it hears what is said from then on."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self._lines: deque[str] = deque(maxlen=_LINES)
        for name in ("distributed", logger.name):
            logging.getLogger(name).addHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a line, if it may say why there are no workers."""
        if record.levelno < logging.WARNING and not record.name.startswith(_TELLING):
            return
        line = record.getMessage().strip()
        if record.exc_info and record.exc_info[1] is not None:
            line += f" ({type(record.exc_info[1]).__name__}: {record.exc_info[1]})"
        if line and line not in self._lines:
            self._lines.append(line[:_CHARACTERS])

    def last(self) -> list[str]:
        """The last that was said, each line once."""
        return list(self._lines)


def write_to_log() -> None:
    """Have what is said stand in this process's standard error."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(message)s"))
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False
