"""What a batch tells while it runs on a Dask worker: events under the id of the flow's client."""

from __future__ import annotations

import os
import pickle
import threading
from collections.abc import Callable
from typing import Any

from dataflow.model.batches import LogLine
from runners.dask.messages import Message

MEET, BEGUN = "meet", "begun"
_LOG_BYTES = 16_000
_LOG_LINES = 50
_LOG_SECONDS = 0.2


def tell(worker: Any, message: Message, kind: str, data: bytes) -> None:
    """Send the flow's process an event about a batch, which is lost if this worker ends now."""
    worker.log_event(message.topic, event_of(message, kind, data))


def event_of(message: Message, kind: str, data: bytes) -> dict[str, Any]:
    """An event about a batch."""
    return {"dataflow": kind, "batch": message.batch_id, "data": data}


_met: set[tuple[str, str]] = set()


def introduce(worker: Any, message: Message) -> None:
    """Before the first batch of a client, tell it whom it would have to ask for how this ended."""
    pair = worker.address, message.topic
    if pair not in _met:
        _met.add(pair)
        tell(worker, message, MEET, pickle.dumps((worker.address, os.getpid(), worker.nanny), 5))


class LogStream:
    """Log lines of a batch that takes its time: sent while it runs, or left for the report.

    Args:
        tell: sends the flow's process something of a kind.
    """

    def __init__(self, tell: Callable[[str, bytes], None]) -> None:
        self._tell = tell
        self._lines: list[LogLine] = []
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> None:
        pass

    def __exit__(self, *_exception: object) -> None:
        self.end()

    def end(self) -> None:
        """Send no more lines."""
        self._ended.set()
        if self._thread is not None:
            self._thread.join()

    def add(self, line: LogLine) -> None:
        """Take a line."""
        self._lines.append(line)
        if self._thread is None:
            with self._lock:
                if self._thread is None:
                    self._thread = threading.Thread(target=self._run, daemon=True)
                    self._thread.start()

    def left(self) -> list[LogLine]:
        """The lines that were not sent."""
        return self._lines

    def _run(self) -> None:
        while not self._ended.wait(_LOG_SECONDS):
            self._send()

    def _send(self) -> None:
        while self._lines:
            some = self._lines[:_LOG_LINES]
            data = pickle.dumps(some, 5)
            if len(data) > _LOG_BYTES:
                return
            del self._lines[: len(some)]
            self._tell("logs", data)
