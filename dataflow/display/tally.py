"""How far runs have got, counted from events: what every progress display shows.

A root run is a :class:`Board` of rows. A map has a row of its own, all single calls of a task share
one, and so do the runs of a subflow, whose own rows stand below it. Nothing is kept for an element.
Events come in the thread that records, so that counting has to be cheap; rates are worked out
when someone looks.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from operator import attrgetter
from time import monotonic

from dataflow import events
from dataflow.execution.loop.activity import UnderWay
from dataflow.model.records import NodeRecord
from dataflow.model.states import State, StateCode

MAPS_APART = 4
"""More maps of one task than that share a row."""
_NEVER = 1 << 63
_WINDOW_SECONDS = 10.0
_SAMPLE_SECONDS = 0.5
_ENDED = frozenset(int(code) for code in StateCode if code.is_ended)
_FAILED = frozenset(map(int, (StateCode.FAILED, StateCode.TIMED_OUT, StateCode.CRASHED)))
_NOT_RUN = frozenset(map(int, (StateCode.NOT_READY, StateCode.CANCELLED)))
_AGAIN = frozenset(map(int, (StateCode.AWAITING_RETRY, StateCode.RETRYING)))


@dataclass(slots=True, eq=False)
class Row:
    """The progress of one map, of the single calls of one task, or of one subflow's runs."""

    kind: str
    task_name: str
    name: str
    depth: int = 0
    nodes: int = 0
    total: int = 0
    unknown: int = 0
    done: int = 0
    failed: int = 0
    not_run: int = 0
    retried: int = 0
    running: int = 0
    began: float | None = None
    latest: float = 0.0
    samples: deque[tuple[float, int]] = field(default_factory=deque)
    children: list[Row] = field(default_factory=list)
    merged_into: Row | None = None
    is_common: bool = False
    is_alone: bool = False
    created_ns: int = _NEVER

    @property
    def is_over(self) -> bool:
        """Whether all that is known of it has ended."""
        return not self.unknown and self.done >= self.total

    def add(self, counts: dict[int, int], now: float) -> None:
        """Elements have got into new states."""
        for code, count in counts.items():
            if code in _ENDED:
                self.done += count
                if code in _FAILED:
                    self.failed += count
                elif code in _NOT_RUN:
                    self.not_run += count
            elif code in _AGAIN:
                self.retried += count
        if self.began is None:
            self.began = now
        self.latest = now

    def sample(self, now: float) -> None:
        """Remember where it is now, for the rate."""
        samples = self.samples
        if samples and now - samples[-1][0] < _SAMPLE_SECONDS:
            return
        samples.append((now, self.done))
        while len(samples) > 2 and now - samples[1][0] > _WINDOW_SECONDS:
            samples.popleft()

    def rate(self, now: float) -> float:
        """Elements a second, lately; over all its time where few have ended lately."""
        if self.samples:
            then, done = self.samples[0]
            if self.done - done >= 5 and now - then >= 1:
                return (self.done - done) / (now - then)
        if self.began is None or now - self.began < 0.5:
            return 0.0
        return self.done / (now - self.began)

    def seconds_left(self, now: float) -> float | None:
        """How long it will take, as far as that can be told."""
        rate = self.rate(now)
        if not rate or self.unknown or self.is_over:
            return None
        return (self.total - self.done) / rate

    @property
    def took_seconds(self) -> float | None:
        """From the first sign of it to the last."""
        return None if self.began is None else max(self.latest - self.began, 0.0)

    @property
    def title(self) -> str:
        """What it is called: maps that share a row say how many they are."""
        if self.kind != "map" or self.is_alone:
            return self.task_name
        return f"{self.task_name} ({self.nodes:,} maps)" if self.is_common else self.name

    def absorb(self, other: Row) -> None:
        """Take what another row has counted; it stands for this one from now on."""
        for name in ("nodes", "total", "unknown", "done", "failed", "not_run", "retried"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        begun = [moment for moment in (self.began, other.began) if moment is not None]
        self.began = min(begun, default=None)
        self.latest = max(self.latest, other.latest)
        self.samples.clear()
        other.merged_into = self


@dataclass(slots=True, eq=False)
class Board:
    """A root run, and the rows of it and its subflows."""

    run_id: str
    run_name: str
    flow_name: str
    began: float
    rows: list[Row] = field(default_factory=list)
    state: State[object] | None = None
    ended: float | None = None

    def all_rows(self) -> Iterator[Row]:
        """Every row, those of a subflow below its own."""
        return _walk(self.rows)

    def seconds(self, now: float) -> float:
        """How long it has been running, or ran."""
        return (now if self.ended is None else self.ended) - self.began


def _walk(rows: list[Row]) -> Iterator[Row]:
    for row in sorted(rows, key=attrgetter("created_ns")):
        yield row
        yield from _walk(row.children)


@dataclass(slots=True, eq=False)
class _Place:
    """Where the nodes of one run are counted; the runs of one subflow share a place."""

    board: Board
    rows: list[Row]
    depth: int
    singles: dict[str, Row] = field(default_factory=dict)
    flows: dict[str, tuple[Row, _Place]] = field(default_factory=dict)
    maps: dict[str, Row] = field(default_factory=dict)
    rows_of_maps: dict[str, list[Row]] = field(default_factory=dict)

    def single(self, kind: str, task_name: str) -> Row:
        """The row of a task's single calls."""
        row = self.singles.get(task_name)
        if row is None:
            row = self.singles[task_name] = Row(kind, task_name, task_name, self.depth)
            self.rows.append(row)
        return row

    def map(self, node: NodeRecord) -> Row:
        """A row for a map; the common one if its task is mapped many times.

        The runs of one subflow trace the same maps, which are the same row then.
        """
        row = self.maps.get(node.name)
        if row is None:
            rows = self.rows_of_maps.setdefault(node.task_name, [])
            if rows and rows[0].is_common:
                return rows[0]
            row = self.maps[node.name] = Row("map", node.task_name, node.name, self.depth)
            rows.append(row)
            self.rows.append(row)
            rows[0].is_alone = len(rows) == 1
            if len(rows) > MAPS_APART:
                self._put_together(rows)
        return row.merged_into or row

    def _put_together(self, rows: list[Row]) -> None:
        for other in rows[1:]:
            rows[0].absorb(other)
            self.rows.remove(other)
        rows[0].is_common = True
        del rows[1:]

    def flow(self, name: str) -> _Place:
        """The place of the runs of a subflow."""
        if name not in self.flows:
            row = self.single("flow", name)
            self.flows[name] = row, _Place(self.board, row.children, self.depth + 1)
        return self.flows[name][1]


class Tally:
    """Counts events; every method may be called from any thread."""

    def __init__(self) -> None:
        self.boards: list[Board] = []
        self._places: dict[str, _Place] = {}
        self._map_rows: dict[tuple[str, int], Row] = {}
        self._unknown: set[tuple[str, int]] = set()
        self._lock = threading.Lock()

    def take(self, event: events.Event) -> None:
        """Count one event."""
        with self._lock:
            if isinstance(event, events.ElementsRecorded):
                self._elements(event)
            elif isinstance(event, events.NodesAdded):
                self._nodes(event)
            elif isinstance(event, events.NodeLengthKnown):
                self._length(event.run_id, event.node, event.length)
            elif isinstance(event, events.RunStarted):
                self._run(event)
            elif isinstance(event, events.RunStateChanged):
                self._state(event)

    def sample(self, under_way: Iterable[UnderWay]) -> None:
        """Look at what runs now."""
        now = monotonic()
        with self._lock:
            for board in self.boards:
                for row in board.all_rows():
                    row.running = 0
                    if row.began is not None:
                        row.sample(now)
            for calls in under_way:
                row_now = self._row_of(calls.run_id, calls.node, calls.task_name)
                if row_now is not None:
                    row_now.running += calls.count
                    if row_now.began is None:
                        row_now.began = row_now.latest = now

    def take_ended(self) -> list[Board]:
        """Let go of the runs that have ended; the last word on them is the caller's."""
        with self._lock:
            ended = [board for board in self.boards if board.state is not None]
            if not ended:
                return []
            self.boards = [board for board in self.boards if board.state is None]
            gone = {run for run, place in self._places.items() if place.board in ended}
            self._places = {run: p for run, p in self._places.items() if run not in gone}
            self._map_rows = {k: row for k, row in self._map_rows.items() if k[0] not in gone}
            self._unknown = {key for key in self._unknown if key[0] not in gone}
            return ended

    # --- one kind of event each; the lock is held ------------------------------------------------

    def _run(self, event: events.RunStarted) -> None:
        parent = self._places.get(event.parent_run_id or "")
        if parent is not None:
            self._places[event.run_id] = parent.flow(event.flow_name)
        elif event.parent_run_id is None:
            board = Board(event.run_id, event.run_name, event.flow_name, monotonic())
            self.boards.append(board)
            self._places[event.run_id] = _Place(board, board.rows, 0)

    def _state(self, event: events.RunStateChanged) -> None:
        for board in self.boards:
            if board.run_id == event.run_id:
                board.state, board.ended = event.state, monotonic()

    def _nodes(self, event: events.NodesAdded) -> None:
        place = self._places.get(event.run_id)
        if place is None:
            return
        for node in event.nodes:
            if node.kind == "map":
                self._map(place, node)
                continue
            row = place.singles.get(node.task_name) or place.single(node.kind, node.task_name)
            if not row.nodes:
                row.created_ns = node.created_ns
            row.nodes += 1
            row.total += 1

    def _map(self, place: _Place, node: NodeRecord) -> None:
        row = place.map(node)
        if not row.nodes:
            row.created_ns = node.created_ns
        row.nodes += 1
        self._map_rows[node.run_id, node.node] = row
        if node.length is None:
            row.unknown += 1
            self._unknown.add((node.run_id, node.node))
        else:
            row.total += node.length

    def _length(self, run_id: str, node: int, length: int) -> None:
        row = self._row_of(run_id, node, "")
        if row is not None and (run_id, node) in self._unknown:
            self._unknown.discard((run_id, node))
            row.unknown -= 1
            row.total += length

    def _elements(self, event: events.ElementsRecorded) -> None:
        row = self._row_of(event.run_id, event.node, event.task_name)
        if row is None:
            return
        row.add(event.counts, monotonic())
        if event.node is not None and not event.counts:  # it will never have a length
            self._length(event.run_id, event.node, 0)

    def _row_of(self, run_id: str, node: int | None, task_name: str) -> Row | None:
        row = self._map_rows.get((run_id, node)) if node is not None else None
        if row is None:
            place = self._places.get(run_id)
            return None if place is None else place.singles.get(task_name)
        while row.merged_into is not None:
            row = row.merged_into
        return row
