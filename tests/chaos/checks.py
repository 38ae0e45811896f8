"""What must be true, whatever was killed; each check says what is wrong.

Some hold whenever the flow's process has ended (:func:`after_an_end`), the others when the run has
completed in the end (:func:`when_completed`).
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dataflow.errors import ResultMissing, StoreError
from dataflow.model.states import StateCode
from dataflow.process_ids import this_process
from dataflow.store.run_store import open_store
from dataflow.store.slots import Request
from tests.chaos.evidence import Recorded, announced, count_each, database_of
from tests.chaos.flows import FLAKY_RETRIES, LIMIT
from tests.chaos.victims import FLOW

_ENDED = ("Crashed", "Completed", "Failed")
_COMPLETED = ("Completed", "Cached")


@dataclass(frozen=True)
class Stop:
    """The flow's process has ended.

    Attributes:
        recorded: what the store had then.
        killed: who was killed while it lived.
        resumed: whether it had resumed a run.
    """

    recorded: Recorded
    killed: tuple[str, ...] = ()
    resumed: bool = False


# --- whenever the flow's process has ended --------------------------------------------------------


def after_an_end(folder: Path, recorded: Recorded, before: Recorded | None = None) -> Iterator[str]:
    """What holds then, also if the run has not completed; ``before``: the time before."""
    yield from unended_runs(recorded)
    yield from missing_announcements(folder, recorded, before)
    yield from repeated_completions(recorded)
    yield from parted_results(recorded)


def unended_runs(recorded: Recorded) -> Iterator[str]:
    """A run whose process is gone is seen to be so by whoever looks."""
    for run in recorded.runs.values():
        if run.state.name not in _ENDED:
            yield f"{run.id} is {run.state.name}, though its process is gone"


def missing_announcements(
    folder: Path, recorded: Recorded, before: Recorded | None = None
) -> Iterator[str]:
    """No state that was seen may be missing from the store.

    What had not completed in an earlier life has been done again since; and what had stays so, if
    this one ended before it came to it.
    """
    start = before.announced if before is not None else 0
    kept = before.kept if before is not None else set()
    for number, (name, state) in enumerate(announced(folder)):
        run_id, *place = name.split(".")
        is_over = place and (number < start or (run_id, *map(int, place)) in kept)
        if is_over and state not in _COMPLETED:
            continue
        run = recorded.runs.get(run_id)
        if run is None:
            yield f"{name} was announced {state}; the store does not know that run"
        elif not place:
            known = [each.name for each in run.states()]
            if state not in known:
                yield f"{name} was announced {state}; the store has {', '.join(known)}"
        else:
            try:
                found = run.element(*map(int, place)).state.name
            except StoreError as error:
                found = error.message
            if found != state:
                yield f"{name} was announced {state}; the store has {found}"


def repeated_completions(recorded: Recorded) -> Iterator[str]:
    """No element may have completed twice."""
    for element, found in recorded.completions.items():
        if len(found) > 1:
            codes = ", ".join(each.code.state_name for each in found)
            yield f"{_name(element)} has {len(found)} recorded completions ({codes})"


def parted_results(recorded: Recorded) -> Iterator[str]:
    """A completion and its result are there together, or not at all."""
    completed = recorded.completions.keys()
    for element in sorted(completed - recorded.kept):
        yield f"{_name(element)} has completed, but its result was not recorded"
    for element in sorted(recorded.kept - completed):
        yield f"{_name(element)} has a result, but has not completed"


# --- when the run has completed -------------------------------------------------------------------


def when_completed(
    folder: Path, wanted: list[Any], stops: Sequence[Stop], kills: int
) -> Iterator[str]:
    """What holds in the end.

    Args:
        folder: where calls and announcements left their marks.
        wanted: the result of an undisturbed run.
        stops: each end of the flow's process, in their order.
        kills: how many processes were killed.
    """
    last = stops[-1].recorded
    yield from missing_completions(last)
    yield from wrong_results(last, wanted)
    yield from missing_calls(folder, last)
    yield from needless_calls(folder, stops)
    yield from repeated_calls(folder, stops[0])
    yield from calls_too_many(folder, last, kills)
    yield from wrong_counts_of_reused(stops)
    yield from what_stays_held(last)


def missing_completions(recorded: Recorded) -> Iterator[str]:
    """Every element has completed."""
    for run in recorded.runs.values():
        for node in run.nodes():
            count = node.length if node.kind == "map" else 1
            good = sum(node.codes.get(code, 0) for code in _GOOD)
            if count != good or node.recorded != good:
                yield f"{node!r} of {run.id} has not completed, or not as a whole"


_GOOD = (StateCode.COMPLETED, StateCode.CACHED)


def wrong_results(recorded: Recorded, wanted: list[Any]) -> Iterator[str]:
    """Results equal those of an undisturbed run, and each can be read."""
    assert recorded.main is not None
    for run in recorded.runs.values():
        for node in run.nodes():
            if node.kind == "flow":
                continue
            try:
                run.results(node.node)
            except ResultMissing as error:
                yield f"a result of {node.name} cannot be read: {error}"
    try:
        result = recorded.main.state.result()
    except ResultMissing as error:
        yield f"the result of the flow cannot be read: {error}"
        return
    if result != wanted:
        yield "the result is not that of an undisturbed run"


def missing_calls(folder: Path, recorded: Recorded) -> Iterator[str]:
    """What has completed was called, if it was not taken from the cache."""
    called = count_each(folder)
    for element, found in recorded.completions.items():
        if found[0].code is not StateCode.CACHED and not called[element]:
            yield f"{_name(element)} has completed, but was never called"


def needless_calls(folder: Path, stops: Sequence[Stop]) -> Iterator[str]:
    """What had completed when the flow's process ended was not called again."""
    for number, stop in enumerate(stops, 1):
        for element in count_each(folder, stop.recorded.calls):
            if element in stop.recorded.kept:
                yield f"{_name(element)} was called again after stop {number}, though it was kept"


def repeated_calls(folder: Path, first: Stop) -> Iterator[str]:
    """Where nobody else was killed, what completed in the first life was called once for that."""
    if not {FLOW}.issuperset(first.killed):
        return
    called = count_each(folder)
    for element, found in first.recorded.completions.items():
        is_called = found[0].code is not StateCode.CACHED
        if is_called and called[element] != found[0].attempt:
            yield f"{_name(element)} was called {called[element]} times for one completion"


def calls_too_many(folder: Path, recorded: Recorded, kills: int) -> Iterator[str]:
    """What was called again was retried, or somebody was killed."""
    most = (1 + FLAKY_RETRIES) * (1 + kills)
    for element, count in count_each(folder).items():
        if element not in recorded.completions:
            yield f"{_name(element)} was called, but has not completed"
        elif count > most:
            yield f"{_name(element)} was called {count} times, though {kills} processes were killed"


def wrong_counts_of_reused(stops: Sequence[Stop]) -> Iterator[str]:
    """A run says how much it reused: all that it had, when it was resumed."""
    if len(stops) < 2 or not stops[-1].resumed:
        return
    before, last = stops[-2].recorded, stops[-1].recorded
    for run_id, run in last.runs.items():
        if run_id not in before.runs or before.runs[run_id].state.is_completed():
            continue
        had = sum(element[0] == run_id for element in before.kept)
        had += sum(
            each.id in before.kept_flows and each.summary.parent_run_id == run_id
            for each in before.runs.values()
        )
        said = last.reused(run_id)[-1:]
        if said != [had]:
            yield f"{run.flow_name} says that it reused {said}; it had {had}"


def what_stays_held(recorded: Recorded) -> Iterator[str]:
    """Nobody holds anything any more: no run a lease, no process a slot."""
    assert recorded.main is not None
    database = database_of(recorded.main)
    if database.read(lambda view: view.row("any_lease")) is not None:
        yield "a lease of a cache key is still held"
    store = recorded.main._store
    for run_id in recorded.runs:
        if store.control.driver(run_id) is not None:
            yield f"{run_id} still has somebody who drives it"
    number, is_granted = store.slots.ask(Request({LIMIT: 1}, this_process(), "chaos"))
    store.slots.give_back(number)
    if not is_granted:
        yield f"a slot of {LIMIT!r} is still held"


def damage(store: str) -> Iterator[str]:
    """What the database itself finds wrong."""
    if "://" in store:
        open_store(store).close()
        return
    connection = sqlite3.connect(store)
    try:
        found = [row[0] for row in connection.execute("PRAGMA integrity_check")]
    finally:
        connection.close()
    if found != ["ok"]:
        yield f"the database is damaged: {found[:3]}"


def _name(element: tuple[str, int, int]) -> str:
    return "{}.{}.{}".format(*element)
