"""What the report of a batch teaches about its tasks: how long they take, how large values are."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Callable

from dataflow.execution.loop.queues import Flight
from dataflow.model.batches import BatchReport
from dataflow.model.states import StateCode
from dataflow.planner.cost_book import CostBook

_PENDING = int(StateCode.PENDING)
_ELEMENTS_ASKED = 250


def learn(book: CostBook, flight: Flight, report: BatchReport) -> None:
    """Note in the book, and in the times of the run, what a report says of its calls."""
    calls = len(report.states)
    if not calls:
        return
    if flight.is_concurrent:
        _learn_bytes(book, flight, report)
        return
    tasks = {task.name for task in flight.batch.tasks}
    if len(tasks) == 1:
        (name,) = tasks
        sizes = _value_bytes(report, {name: calls}, lambda _: name)
        book.learn(name, calls, report.busy_ns / 1e9, sizes.get(name))
        flight.graph.times.called(name, calls, report.busy_ns)
        return
    names = _task_names(flight)
    counts, spent = (_times_of_stages if flight.stages else _times_of_calls)(names, report)
    sizes = _value_bytes(report, counts, lambda at: names[at % len(names)])
    for name, number in counts.items():
        book.learn(name, number, spent[name] / 1e9, sizes.get(name))
        flight.graph.times.called(name, number, spent[name])


def _learn_bytes(book: CostBook, flight: Flight, report: BatchReport) -> None:
    """The same of concurrent calls of one task: they share their time, so nothing is said of it."""
    told = len(report.states) - report.states.count(_PENDING)
    if told and report.values is not None:
        book.learn_bytes(flight.batch.tasks[0].name, report.values.nbytes / told)


def _times_of_calls(names: list[str], report: BatchReport) -> tuple[Counter[str], Counter[str]]:
    """How many calls each task had, and how many nanoseconds they took."""
    counts: Counter[str] = Counter()
    spent: Counter[str] = Counter()
    before = report.first_started_ns
    for at, now in enumerate(array("q", report.ended), start=report.first):
        name = names[at]
        counts[name] += 1
        spent[name] += now - before
        before = now
    return counts, spent


def _times_of_stages(names: list[str], report: BatchReport) -> tuple[Counter[str], Counter[str]]:
    """The same for elements of fused maps, whose time is shared out among the stages.

    Where there are many, some that are evenly spread say which part of it each stage took: to add
    up all of them would cost a third of what such elements cost altogether.
    """
    counts: Counter[str] = Counter()
    parts: Counter[str] = Counter()
    width = len(names)
    ended = memoryview(report.ended).cast("q")
    stride = width * max(len(ended) // (width * _ELEMENTS_ASKED), 1)
    for number, name in enumerate(names):
        start = (number - report.first) % width
        calls, asked = len(range(start, len(ended), width)), range(start, len(ended), stride)
        counts[name] += calls
        if asked:
            began = (ended[at - 1] if at else report.first_started_ns for at in asked)
            spent = sum(map(ended.__getitem__, asked)) - sum(began)
            parts[name] += spent * calls // len(asked)
    whole = max(parts.total(), 1)
    return counts, Counter({name: report.busy_ns * part // whole for name, part in parts.items()})


def _task_names(flight: Flight) -> list[str]:
    """The tasks of the calls, in order; those of a map's elements are the same again and again."""
    return [node.task.name for node in flight.stages or flight.calls]


def _value_bytes(
    report: BatchReport, counts: dict[str, int], name_of: Callable[[int], str]
) -> dict[str, float]:
    """Mean bytes of the values of each task, as far as they are known.

    Those that were large are known one by one. The others that were kept share the rest of the
    column; of others that nobody needed nothing is known.
    """
    if not (report.large or report.dropped):
        each = (0 if report.values is None else report.values.nbytes) / len(report.states)
        return dict.fromkeys(counts, each)
    large: dict[str, list[int]] = {}
    for at, nbytes in report.large.items():
        large.setdefault(name_of(at), []).append(nbytes)
    dropped = Counter(name_of(at) for at in report.dropped if at not in report.large)
    gone = set(report.dropped)
    large_kept = [nbytes for at, nbytes in report.large.items() if at not in gone]
    small_kept = len(report.states) - len(report.dropped) - len(large_kept)
    nbytes = 0 if report.values is None else report.values.nbytes
    each = max(nbytes - sum(large_kept), 0) / max(small_kept, 1)
    means = {}
    for name, number in counts.items():
        known = number - dropped[name]
        if known > 0:
            sizes = large.get(name, [])
            means[name] = (sum(sizes) + each * (known - len(sizes))) / known
    return means
