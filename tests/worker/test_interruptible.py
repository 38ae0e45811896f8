"""Interruptions: they reach what they are meant for, whatever it does, and nothing else."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest

from dataflow.worker import interruptible
from dataflow.worker.interruptible import Interruptible, raise_here, uninterrupted
from tests.runners.programs import wait_until


class Stop(BaseException):
    """What code is interrupted with."""


class Running:
    """Some code in a thread of its own.

    Attributes:
        outcome: what it returned or raised, and what came after it.
    """

    def __init__(self, function: Callable[[Running], object], *, enters: bool = True) -> None:
        self.body = Interruptible()
        self.begun = threading.Event()
        self.go_on = threading.Event()
        self.outcome: list[object] = []
        self._function = function
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()
        assert self.begun.wait(60)

    def _run(self) -> None:
        try:
            self.outcome.append(self.body.run(lambda: self._function(self)))
        except BaseException as error:
            self.outcome.append(error)
        for _ in range(1000):  # lines at which something could be raised
            self.outcome.append(None)

    def end(self) -> object:
        """Wait for it; what came of it."""
        self.thread.join(60)
        assert not self.thread.is_alive()
        assert self.outcome[1:] == [None] * 1000
        return self.outcome[0]


def turn_around(running: Running) -> None:
    running.begun.set()
    while not running.go_on.is_set():
        time.sleep(0.001)


def test_what_is_raised_already_is_raised_again_only_if_it_is_lost() -> None:
    caught: list[BaseException] = []
    error = Stop()

    def handles_then_goes_on(running: Running) -> str:
        try:
            raise error
        except Stop:
            running.begun.set()
            assert running.go_on.wait(60)
        try:
            while True:
                time.sleep(0.001)
        except Stop as again:
            caught.append(again)
        return "ended"

    running = Running(handles_then_goes_on)
    running.body.interrupt(error, is_raised=True)
    running.go_on.set()
    assert running.end() == "ended"
    assert caught == [error]


def test_code_that_catches_everything_is_interrupted_in_the_end() -> None:
    caught: list[BaseException] = []

    def stubborn(running: Running) -> None:
        while len(caught) < 3:
            try:
                turn_around(running)
            except BaseException as error:
                caught.append(error)
        turn_around(running)

    running, stop = Running(stubborn), Stop()
    running.body.interrupt(stop)
    assert running.end() is stop
    assert caught == [stop] * 3


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_what_gets_lost_in_a_destructor_is_raised_again() -> None:
    lost = threading.Event()

    class Swallows:
        def __init__(self, running: Running) -> None:
            self.running = running

        def __del__(self) -> None:
            try:
                turn_around(self.running)
            finally:
                lost.set()

    def destroy(running: Running) -> None:
        Swallows(running)
        turn_around(running)

    running, stop = Running(destroy), Stop()
    running.body.interrupt(stop)
    assert lost.wait(60)
    assert running.end() is stop


def test_what_arrives_while_it_begins_to_wait_leaves_no_lock_taken() -> None:
    """An event's own lock stays taken at times; a gate has none that could."""
    from dataflow.execution.gate import Gate

    for _ in range(200):
        gate = Gate()

        def wait_often(running: Running, gate: Gate = gate) -> None:
            running.begun.set()
            while True:
                gate.wait(0)

        running = Running(wait_often)
        running.body.interrupt(Stop())
        assert isinstance(running.end(), Stop)
        gate.open()
        gate.open()
        assert gate.is_open
        assert gate.wait(0)


def test_what_cleans_up_is_left_to_do_so() -> None:
    ends: list[str] = []

    def clean_up(running: Running) -> None:
        try:
            turn_around(running)
        finally:
            ends.append("begun")
            running.go_on.wait(60)
            ends.extend("goes on" for _ in range(1000))

    running, stop = Running(clean_up), Stop()
    running.body.interrupt(stop)
    wait_until(lambda: running.body._pause > 0.5, "it was not tried again")
    assert ends == ["begun"]
    running.go_on.set()
    assert running.end() is stop
    assert len(ends) == 1001


def test_what_ends_by_itself_at_that_moment_keeps_it_from_all_that_follows() -> None:
    def end_soon(running: Running) -> str:
        running.begun.set()
        for _ in range(2000):
            pass
        return "done"

    ends = set()
    for _ in range(300):
        running = Running(end_soon)
        running.body.interrupt(Stop())
        ends.add(str(running.end()) or "stopped")
        assert running.thread.ident not in interruptible._entered
        assert running.thread.ident not in interruptible._pending
    assert ends <= {"done", "stopped"}


def test_what_was_interrupted_before_it_begins_does_not_begin() -> None:
    body, stop = Interruptible(), Stop()
    body.interrupt(stop)
    with pytest.raises(Stop) as caught:
        body.run(lambda: pytest.fail("it began"))
    assert caught.value is stop
    body.interrupt(Stop())  # it has ended: this is for nobody


def test_who_interrupts_is_told_that_it_does_not_come_back() -> None:
    def wait_in_c(running: Running) -> None:
        lock = threading.Lock()
        lock.acquire()
        threading.Timer(0.0, lambda: (running.go_on.wait(60), lock.release())).start()
        running.begun.set()
        lock.acquire()

    running, late = Running(wait_in_c), threading.Event()
    running.body.interrupt(Stop(), late=late.set)
    assert late.wait(60)
    running.go_on.set()
    assert isinstance(running.end(), Stop)


def test_code_around_other_code_is_interrupted_through_it() -> None:
    inner, stop = Interruptible(), Stop()

    def outer(running: Running) -> None:
        inner.run(lambda: turn_around(running))

    running = Running(outer)
    running.body.interrupt(stop)
    assert running.end() is stop


def test_code_inside_other_code_is_interrupted_alone() -> None:
    inner = Interruptible()

    def outer(running: Running) -> str:
        with pytest.raises(Stop):
            inner.run(lambda: turn_around(running))
        return "goes on"

    running = Running(outer)
    inner.interrupt(Stop())
    assert running.end() == "goes on"


def test_both_are_interrupted_one_after_the_other() -> None:
    inner, first, second = Interruptible(), Stop(), Stop()
    caught: list[BaseException] = []

    def outer(running: Running) -> None:
        try:
            inner.run(lambda: turn_around(running))
        except Stop as error:
            caught.append(error)
        turn_around(running)

    running = Running(outer)
    inner.interrupt(first)
    running.body.interrupt(second)
    assert running.end() is second
    # who is first is not promised, and the second may be raised while the first is being caught
    assert caught in ([first], [second], [])


def test_what_has_to_be_done_whole_is() -> None:
    steps: list[int] = []

    def work(running: Running) -> None:
        with uninterrupted():
            turn_around(running)
            steps.extend(range(1000))
        turn_around(running)

    running, stop = Running(work), Stop()
    running.body.interrupt(stop)
    wait_until(lambda: running.body._pause > 0.2, "it was not tried")
    running.go_on.set()
    outcome = running.end()
    assert len(steps) == 1000
    assert outcome in (stop, None)  # it may have ended before it was tried again
    assert not interruptible._masked


def test_what_was_owed_to_something_else_is_not_raised() -> None:
    interruptible._owed[threading.get_ident()] = Stop()  # another signal came a moment after it
    with uninterrupted():
        pass
    assert not interruptible._owed


def test_an_error_that_comes_once_goes_before_one_that_comes_again() -> None:
    again, once = Stop("again"), Stop("once")
    for first, second in ((again, once), (once, again)):
        with pytest.raises(Stop) as caught, uninterrupted():
            for error in (first, second):
                raise_here(error, repeats=error is again)
        assert caught.value is once
