"""Which calls need not be made, because their results are there.

The run loop asks (:class:`Question`), a thread of its own finds the answer (``execution.finder``,
which is loaded for the first question: most runs have none), and the run state hears it.
"""

from __future__ import annotations

import contextlib
import logging
import queue
import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from dataflow.clock import now_ns
from dataflow.errors import StoreError
from dataflow.execution.reuse.answers import LEASE_NS, Answer, Question, nothing_of
from dataflow.worker.failures import describe

if TYPE_CHECKING:
    from dataflow.execution.reuse.run_results import RunResults
    from dataflow.store.run_store import RunStore


class Lookups:
    """The thread that answers questions, started when there is one.

    Args:
        open_store: opens the store to read in; None: there is none, nothing is found.
    """

    def __init__(self, open_store: Callable[[], RunStore] | None) -> None:
        self._open_store = open_store
        self._store: RunStore | None = None
        self._errands: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()

    def ask(self, question: Question, done: Callable[[Answer], None]) -> None:
        """Have a question answered; ``done`` gets the answer, in another thread."""
        self._begin(lambda: done(self.answer(question)))

    def renew(self, run_id: str, done: Sequence[bytes]) -> None:
        """Keep the leases of a run, but for those of keys that it is done with."""

        def renew() -> None:
            if self.store is not None:
                self.store.renew_leases(run_id, now_ns() + LEASE_NS, done)

        self._begin(renew)

    def release(self, run_id: str, results: RunResults) -> None:
        """Let go of all leases of a run, also of those that are being taken."""

        def release() -> None:
            if results.has_leased and self.store is not None:
                self.store.drop_leases(run_id)

        if self._thread is not None or results.has_leased:
            self._begin(release)

    def _begin(self, errand: Callable[[], None]) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="dataflow lookups", daemon=True)
            self._thread.start()
        self._errands.put(errand)

    def answer(self, question: Question) -> Answer:
        """The answer to a question, here and now; never raises."""
        from dataflow.execution.reuse.finder import Finder

        try:
            return Finder(question, self.store).find()
        except StoreError as error:
            question.graph.say(logging.WARNING, f"No earlier results were looked up: {error}")
            return nothing_of(question)
        except Exception as error:
            nothing = nothing_of(question)
            nothing.failures.update(dict.fromkeys(range(question.count), describe(error)))
            return nothing

    @property
    def store(self) -> RunStore | None:
        """The store that is read."""
        with self._lock:
            if self._store is None and self._open_store is not None:
                self._store = self._open_store()
            return self._store

    def close(self) -> None:
        """End the thread."""
        if self._thread is not None:
            self._errands.put(None)
            self._thread.join()
        if self._store is not None:
            self._store.close()

    def _work(self) -> None:
        while self._turn():  # no variable here, so that nothing is held while it waits
            pass

    def _turn(self) -> bool:
        errand = self._errands.get()
        if errand is None:
            return False
        with contextlib.suppress(StoreError):  # leases end by themselves; an answer never raises
            errand()
        return True
