"""A call that takes too long is interrupted, but not amid what has to be done whole."""

from __future__ import annotations

import signal
import time

import pytest

from dataflow.errors import TaskRunTimeoutError
from dataflow.worker.interruptible import uninterrupted
from dataflow.worker.timeouts import call_with_timeout


def test_what_has_to_be_done_whole_is_not_interrupted() -> None:
    done: list[str] = []

    def call() -> None:
        with uninterrupted():
            while signal.getitimer(signal.ITIMER_REAL)[0] > 0.05:  # until it has rung, once
                time.sleep(0.001)
            rung = signal.getitimer(signal.ITIMER_REAL)[0]
            while signal.getitimer(signal.ITIMER_REAL)[0] <= rung:
                time.sleep(0.001)
            done.append("whole")
        done.append("more")
        time.sleep(60)

    with pytest.raises(TaskRunTimeoutError):
        call_with_timeout(call, (), {}, 0.2, "it")
    assert done == ["whole"]
