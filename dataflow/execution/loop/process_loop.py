"""The run loop of this process: made on first use, ended with the process."""

from __future__ import annotations

import atexit
import os
import threading
from collections.abc import Callable

from dataflow.execution.loop.run_loop import RunLoop
from dataflow.execution.loop.run_watch import RunWatch
from dataflow.store.store_places import find_place

_loop: RunLoop | None = None
_loop_pid = 0
_loop_lock = threading.Lock()


def run_loop(make_watch: Callable[[], RunWatch] | None = None) -> RunLoop:
    """The run loop of this process (a forked child gets its own, and so does another store)."""
    global _loop, _loop_pid
    with _loop_lock:
        if _loop is not None and _loop_pid == os.getpid() and _is_stale(_loop):
            _loop.close()
            atexit.unregister(_loop.close)
            _loop = None
        if _loop is None or _loop_pid != os.getpid():
            watch = make_watch() if make_watch is not None else None
            _loop, _loop_pid = RunLoop(watch=watch), os.getpid()
            atexit.register(_loop.close)
        return _loop


def _is_stale(loop: RunLoop) -> bool:
    if loop.closed or loop.error is not None:
        return True
    return not loop.graphs and loop.store_place != find_place()


def close_run_loop() -> None:
    """End the loop of this process, if it has one; the next use makes another."""
    global _loop
    with _loop_lock:
        if _loop is not None and _loop_pid == os.getpid():
            _loop.close()
            atexit.unregister(_loop.close)
        _loop = None


def set_aside_loop() -> RunLoop | None:
    """Take the loop of this process away, as it is: the next use makes another (for tests)."""
    global _loop
    with _loop_lock:
        loop, _loop = (_loop if _loop_pid == os.getpid() else None), None
        return loop


def put_back_loop(loop: RunLoop | None) -> None:
    """Have a loop again that was set aside."""
    global _loop, _loop_pid
    with _loop_lock:
        _loop, _loop_pid = loop, os.getpid()
        for found in loop.queues.values() if loop is not None else ():
            found.started = False  # its runner may have listened to another loop meanwhile


def loop_if_any() -> RunLoop | None:
    """The loop of this process, if it has one."""
    return _loop if _loop_pid == os.getpid() else None
