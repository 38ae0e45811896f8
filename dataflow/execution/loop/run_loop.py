"""The run loop: one thread that has the state of all runs of this process.

Everything that happens is a message in its inbox: nodes were traced, a batch came back, a worker
was lost, a delay is over. After each handful it sends out the batches that can begin and hands what
is to be recorded to the record writer. It never waits for a disk or a worker.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Iterator
from functools import partial
from typing import Any

from dataflow.clock import now_ns, ticks_ns
from dataflow.errors import InternalError
from dataflow.execution.announcements import Announcement, Beginning, wake_all
from dataflow.execution.gate import Gate
from dataflow.execution.hooks.left import call_left_hooks
from dataflow.execution.hooks.of_tasks import untold
from dataflow.execution.loop.beginnings import (
    begun_before_loss,
    begun_by,
    begun_when_handed_over,
    has_hooks,
)
from dataflow.execution.loop.cancelling import is_stuck, is_wasted
from dataflow.execution.loop.inbox import Inbox, Message
from dataflow.execution.loop.questions import held_lookups, leased_calls, questions_of
from dataflow.execution.loop.queues import Flight, RunnerQueue
from dataflow.execution.loop.record_writer import RecordWriter
from dataflow.execution.loop.remaining import remaining_work
from dataflow.execution.loop.run_watch import RunWatch
from dataflow.execution.loop.state.outbox import Lookup
from dataflow.execution.loop.state.run_state import RunState
from dataflow.execution.loop.worker_deaths import death_records, held_by
from dataflow.execution.records_of import log_records
from dataflow.execution.reuse.answers import Answer
from dataflow.execution.reuse.lookups import Lookups
from dataflow.execution.runner_protocol import Explain, Runner
from dataflow.graph.flow_graph import FlowGraph
from dataflow.graph.nodes import MapNode, Node, TaskNode
from dataflow.logs import show_logs
from dataflow.model.batches import BatchReport, LogLine
from dataflow.model.records import LogRecord
from dataflow.model.states import StateCode
from dataflow.planner.cost_book import CostBook
from dataflow.store.run_store import RunStore
from dataflow.store.run_store import open_store as open_run_store
from dataflow.store.store_places import find_place
from dataflow.worker.failures import describe

SEGMENT_SECONDS = 0.05
SEGMENT_NODES = 5000
HANDED_AT_ONCE = 100
_TELL_SECONDS = 0.25
_STUCK_SECONDS = 0.7  # longer than a batch takes to tell how far it is
HELD_SECONDS = 0.1
RENEW_SECONDS = 5.0


class _Listener:
    """Passes what one runner reports on to the loop."""

    def __init__(self, loop: RunLoop, runner: Runner) -> None:
        self._loop = loop
        self._runner = runner

    def _queue(self) -> RunnerQueue:
        return self._loop.queues[id(self._runner)]

    def reported(self, report: BatchReport) -> None:
        """A report is there."""
        self._loop.post(lambda: self._loop.take_report(self._queue(), report))

    def died(self, batch_ids: Collection[int], explain: Explain) -> None:
        """A worker is gone that had these batches."""
        self._loop.post(lambda: self._loop.take_death(self._queue(), batch_ids, explain))

    def lost(self, batch_id: int, position: int | None, cause: str, timed_out: bool) -> None:
        """A worker is gone."""
        self._loop.post(
            lambda: self._loop.take_loss(self._queue(), batch_id, position, cause, timed_out)
        )

    def logged(self, batch_id: int, lines: list[LogLine]) -> None:
        """Log lines of a batch that is under way."""
        self._loop.post(lambda: self._loop.record_logs(self._queue(), batch_id, lines))

    def resized(self) -> None:
        """There are more slots, or fewer."""
        self._loop.post(_nothing)

    def broken(self, error: Exception) -> None:
        """The runner cannot go on."""
        self._loop.post(lambda: self._loop.break_runner(self._queue(), error))


class RunLoop:
    """The loop of this process; made on first use (see ``process_loop``).

    Args:
        open_store: where it records; None: the store of the settings.
        watch: looks at what other processes want of the runs; None: it goes by its parent.
        show: shows log lines that have been recorded.
    """

    def __init__(
        self,
        open_store: Callable[[], RunStore] | None = None,
        show: Callable[[list[LogRecord]], None] = show_logs,
        watch: RunWatch | None = None,
    ) -> None:
        self.store_place = find_place()
        self.inbox = Inbox()
        self.state = RunState(time.time_ns)
        self.queues: dict[int, RunnerQueue] = {}
        self.graphs: set[FlowGraph] = set()
        self.book = CostBook()
        self.writer = RecordWriter(
            open_store or (lambda: open_run_store(self.store_place)),
            self._store_failed,
            show,
            watch,
        )
        self.watch = watch
        reads = partial(open_run_store, self.store_place) if open_store is None else None
        self.lookups = Lookups(reads)
        self.error: BaseException | None = None
        self._deaths: dict[Explain, dict[str, list[str]]] = {}  # what each worker held, by run
        self.closed = False
        self._thread = threading.Thread(target=self._run, name="dataflow run loop", daemon=True)
        self._thread.start()

    # --- called from any thread ------------------------------------------------------------------

    def post(self, message: Message) -> None:
        """Have something done by the loop's thread."""
        self.inbox.put(message)

    def open_graph(self, graph: FlowGraph, runner: Runner) -> None:
        """Begin to look after a graph, whose tasks run on ``runner``."""
        graph.queue = self.queue_of(runner)
        self.graphs.add(graph)
        self._look_soon(graph)  # here: to wake a thread is a third of what a call of a map costs

    def queue_of(self, runner: Runner) -> RunnerQueue:
        """What waits for a runner."""
        found = self.queues.get(id(runner))
        if found is None:
            found = self.queues[id(runner)] = RunnerQueue(runner, self.book)
            found.loop = self
        return found

    def traced(self, graph: FlowGraph) -> None:
        """A node was added: take it within 50 ms, or at once if there are many."""
        fresh = len(graph.fresh)
        if fresh == 1:
            if not graph.queue.started:
                graph.queue.started = True
                graph.queue.runner.start(_Listener(self, graph.queue.runner))
            if not graph.is_looked_at:
                self._look_soon(graph)
        elif not fresh % SEGMENT_NODES:  # once each: the loop may take its time to get to it
            self.flush(graph)

    def _look_soon(self, graph: FlowGraph) -> None:
        graph.is_looked_at = True
        self.post(lambda: self.inbox.put_later(SEGMENT_SECONDS, lambda: self._look(graph)))

    def flush(self, graph: FlowGraph) -> None:
        """Take what was traced now: someone waits for it."""
        if graph.fresh:
            self.post(lambda: self._take(graph))

    def cancel(self, graph: FlowGraph, code: int = int(StateCode.CANCELLED)) -> None:
        """End everything of a graph that has not ended."""
        graph.ends_as = code
        self.post(lambda: self._end_nodes(graph))

    def _end_nodes(self, graph: FlowGraph) -> None:
        self._take(graph)
        assert graph.ends_as is not None
        batches = self.state.cancel(graph.nodes, graph.queue, graph.ends_as)
        if batches:
            graph.queue.runner.cancel(batches)

    def cancel_one(self, node: TaskNode | MapNode, element: int | None) -> bool:
        """End one task run, or all of one map; False if it has ended already."""

        def end() -> bool:
            graph, found = node.graph, node.graph.queue
            self._take(graph)
            flights = self.state.cancel_one(found, node, element)
            for flight in flights or ():
                self._end_wasted(found, flight)
            return flights is not None

        return bool(self.call(end))

    def _end_wasted(
        self, found: RunnerQueue, flight: Flight, may_end: Callable[[Flight], bool] = is_wasted
    ) -> None:
        """Free the slot of a batch that does nothing but what was cancelled, now or later."""
        if found.flights.get(flight.batch.id) is not flight:
            return
        if may_end(flight):
            self._abandon(found, flight)
        else:
            self.inbox.put_later(_STUCK_SECONDS, partial(self._end_wasted, found, flight, is_stuck))

    def _abandon(self, found: RunnerQueue, flight: Flight) -> None:
        self.state.lost(found, flight.batch.id, -1, "", False)  # the rest of it runs again
        found.runner.cancel([flight.batch.id])

    def _end_cancelled(self) -> None:
        """End what may be at a call that was cancelled: nobody will look whether it is stuck."""
        for found in self.queues.values():
            flights = found.flights.values()
            batches = [flight.batch.id for flight in flights if flight.cancelled]
            if batches:
                found.runner.cancel(batches)

    def close_graph(self, graph: FlowGraph) -> None:
        """Its run has ended."""
        self.graphs.discard(graph)
        if graph.results is not None:
            self.lookups.release(graph.run_id, graph.results)
        self.post(lambda: self.state.failure_log.forget(graph))

    def blocked(self, runner: Runner, change: int) -> None:
        """A task on this runner waits for others (+1) or goes on (-1): its slot is free so long."""

        def apply() -> None:
            self.queue_of(runner).blocked += change

        self.post(apply)

    def call(self, message: Callable[[], Any]) -> Any:
        """Have something done by the loop's thread and return what it returns."""
        done = Gate()
        outcome: list[Any] = []

        def run() -> None:
            try:
                outcome.append(message())
            finally:
                done.open()

        self.post(run)
        done.wait()
        return outcome[0] if outcome else None

    def settle(self) -> None:
        """Wait until the writer has what comes of all that was posted before."""
        self.call(_nothing)
        self.call(_nothing)  # in the next turn: what a turn records it hands over at its end

    def close(self) -> None:
        """Write what is left and end."""
        if self.closed or not self._thread.is_alive():
            return
        self.call(self._end_cancelled)
        self.closed = True
        self.post(_nothing)
        self._thread.join()
        self.inbox.drop_later()  # who still refers to this must not keep graphs and their values
        self.lookups.close()
        self.writer.close()

    # --- in the loop's thread --------------------------------------------------------------------

    def _run(self) -> None:
        while not self.closed:
            try:
                self._turn()
            except BaseException as error:
                self._fail(error)

    def _turn(self) -> None:
        for message in self.inbox.take():
            message()
        outbox = self.state.take_outbox()
        for retry in outbox.retries:
            self.inbox.put_later(retry.delay, partial(self.state.retry, retry))
        if outbox.lookups:
            self._ask(outbox.lookups)
        for found in list(self.queues.values()):
            if found.waiting:
                self._hand_out(found)
                if found.elastic is not None and not found.tells_remaining:
                    self._tell_remaining(found)
        if outbox.records or outbox.announcements:
            self.writer.write(outbox.records, outbox.announcements)

    def _hand_out(self, found: RunnerQueue) -> None:
        """Send out what can begin; not all that many slots can take before a report is looked at.

        The first reports say how long elements take, and with that how large the others should be.
        """
        for handed, flight in enumerate(_timed(found.next_flights()), start=1):
            if has_hooks(flight):
                self._tell_begun(begun_when_handed_over(flight))
            _hand_over(flight, found.runner)
            if handed == HANDED_AT_ONCE:
                self.post(_nothing)
                return

    def _tell_begun(self, beginnings: list[Beginning]) -> None:
        """Have hooks told of calls that have begun, before those of how they end."""
        told: list[Announcement] = [*untold(beginnings)]
        if told:
            self.writer.write([], told)

    def _ask(self, lookups: list[Lookup]) -> None:
        """Have the thread of lookups find out what need not be computed."""

        def done(answer: Answer) -> None:
            self.post(lambda: self._answered(answer))

        for question in questions_of(lookups):
            self.lookups.ask(question, done)

    def _answered(self, answer: Answer) -> None:
        """It is known what need not be computed; what another run computes is asked for again."""
        self.state.answered(answer)
        graph = answer.question.graph
        if answer.held:
            self.inbox.put_later(HELD_SECONDS, partial(self._ask, held_lookups(answer)))
        if answer.leased:
            is_first = not graph.results.leased
            graph.results.leased.update(leased_calls(answer))
            if is_first:
                self.inbox.put_later(RENEW_SECONDS, partial(self._renew_leases, graph))

    def _renew_leases(self, graph: FlowGraph) -> None:
        if graph not in self.graphs:
            return
        leased = graph.results.leased
        done = [key for key, (node, element) in leased.items() if node.ended(element)]
        for key in done:
            del leased[key]
        self.lookups.renew(graph.run_id, done)
        if leased:
            self.inbox.put_later(RENEW_SECONDS, partial(self._renew_leases, graph))

    def _tell_remaining(self, found: RunnerQueue) -> None:
        """Tell a runner what remains, now and until it is nothing."""
        assert found.elastic is not None
        remaining = remaining_work(found)
        found.elastic.expect(remaining)
        found.tells_remaining = bool(remaining)
        if remaining:
            self.inbox.put_later(_TELL_SECONDS, partial(self._tell_remaining, found))

    def _look(self, graph: FlowGraph) -> None:
        """Take what was traced 50 ms ago, with all that came after it; or when it is time to."""
        graph.is_looked_at = False  # first: who adds a node from now on has it looked at again
        for first in graph.fresh[:1]:
            left = SEGMENT_SECONDS - (now_ns() - first.created_ns) / 1e9
            if left > 0:
                self.inbox.put_later(min(left, SEGMENT_SECONDS), lambda: self._take(graph))
            else:
                self._take(graph)

    def _take(self, graph: FlowGraph) -> None:
        fresh, _held = graph.take_fresh()
        if fresh:
            if graph.left_hooks:
                call_left_hooks(fresh)
            begun = ticks_ns()
            self.state.traced(fresh)
            graph.times.planning_ns += ticks_ns() - begun
            if graph.ends_as is not None:
                self._end_nodes(graph)

    def take_report(self, found: RunnerQueue, report: BatchReport) -> None:
        """A batch is done, or a part of it."""
        flight = found.flights.get(report.batch_id)
        if flight is None:
            return
        times, begun = flight.graph.times, ticks_ns()
        times.reported(report)
        if flight.handed_ns:
            times.waited(flight.handed_ns, report, time.time_ns())
            flight.handed_ns = 0
        self.state.reported(found, report)
        times.planning_ns += ticks_ns() - begun
        if report.final:
            times.dispatch_ns += flight.batch.dispatch_ns
        if has_hooks(flight):
            self._tell_begun(begun_by(flight, report))

    def take_death(self, found: RunnerQueue, batch_ids: Collection[int], explain: Explain) -> None:
        """A worker is gone: log what it was at, once it is known why."""
        flights = (found.flights.get(batch_id) for batch_id in batch_ids)
        held = held_by(flight for flight in flights if flight is not None)
        known = self._deaths.get(explain)
        if known is not None:
            for run_id, names in held.items():
                known.setdefault(run_id, []).extend(names)
        elif held:
            self._deaths[explain] = held
            explain(lambda cause: self.post(lambda: self._log_death(explain, cause)))

    def _log_death(self, explain: Explain, cause: str) -> None:
        self.state.outbox.records.extend(death_records(self._deaths.pop(explain), cause))

    def take_loss(
        self, found: RunnerQueue, batch_id: int, position: int | None, cause: str, timed_out: bool
    ) -> None:
        """The worker of a batch is gone."""
        flight = found.flights.get(batch_id)
        if flight is not None and has_hooks(flight):
            self._tell_begun(begun_before_loss(flight, position))
        self.state.lost(found, batch_id, position, cause, timed_out)

    def record_logs(self, found: RunnerQueue, batch_id: int, lines: list[LogLine]) -> None:
        """Log lines of a batch that is under way."""
        flight = found.flights.get(batch_id)
        if flight is not None:
            batch = flight.batch
            self.state.outbox.records.extend(
                log_records(batch.run.run_id, batch.body, lines, flight.log_count)
            )
            flight.log_count += len(lines)

    def break_runner(self, found: RunnerQueue, error: Exception) -> None:
        """A runner cannot go on: all that it has fails, and it may be started anew."""
        found.started = False
        failure = describe(error)
        for graph in [graph for graph in self.graphs if graph.queue is found]:
            self._take(graph)
            self.state.fail_all(graph.nodes, found, failure, int(StateCode.CRASHED))

    def _fail(self, error: BaseException) -> None:
        """A mistake of ours: nobody may wait for ever."""
        problem = InternalError(f"The run loop failed: {type(error).__name__}: {error}")
        problem.__cause__ = error
        self._give_up(problem)

    def _store_failed(self, error: BaseException) -> None:
        self._give_up(error)

    def _give_up(self, error: BaseException) -> None:
        self.error = error
        nodes: list[Node] = []
        for graph in list(self.graphs):
            graph.error = error
            nodes += graph.nodes
        wake_all(nodes)


def _nothing() -> None:
    """A message that only has the loop take another turn."""


def _timed(flights: Iterator[Flight]) -> Iterator[Flight]:
    """The same batches; what it took to make each is noted with its run."""
    begun = ticks_ns()
    for flight in flights:
        flight.graph.times.planning_ns += ticks_ns() - begun
        yield flight
        begun = ticks_ns()


def _hand_over(flight: Flight, runner: Runner) -> None:
    """Give a batch to its runner."""
    begun = ticks_ns()
    runner.submit(flight.batch)
    spent = ticks_ns() - begun
    flight.graph.times.dispatch_ns += spent
    flight.handed_ns = time.time_ns()
