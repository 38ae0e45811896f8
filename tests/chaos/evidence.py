"""What calls left behind, and what the store says: read once, for all checks of one moment."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dataflow import records
from dataflow.model.records import FLOW_RESULT, SINGLE_CALLS
from dataflow.model.states import SUCCESSFUL, StateCode
from dataflow.store.batch_columns import read_calls
from dataflow.store.run_keys import run_key
from tests.chaos.flows import ANNOUNCED, CALL_BYTES, CALLS

Element = tuple[str, int, int]
"""Run, node, index."""
DEATH = " died: "
_REUSED = re.compile(r"Resumed: (\d+) results? of before reused")


@dataclass(frozen=True)
class Completion:
    """A recorded completion."""

    code: StateCode
    attempt: int


class Recorded:
    """What is recorded at one moment.

    Attributes:
        main: the run; None: it has not begun.
        runs: it and those below it, by id.
        completions: by element; more than one where it completed more than once.
        kept: the elements whose results were persisted.
        kept_flows: the runs whose own results were.
        calls, announced: how many calls had been begun, and states been seen.
    """

    def __init__(self, folder: Path, store: str) -> None:
        is_there = "://" in store or Path(store).exists()  # killed before it was made
        found = records.runs(limit=None, store=store) if is_there else []
        self.runs = {run.id: run for run in found}
        self.main = next((run for run in found if run.flow_name == "chaos"), None)
        self.completions: dict[Element, list[Completion]] = {}
        self.kept: set[Element] = set()
        self.kept_flows: set[str] = set()
        for run in found:
            for element, completion in completions_of(run):
                self.completions.setdefault(element, []).append(completion)
            for node, elements in _kept(run):
                if node == FLOW_RESULT:
                    self.kept_flows.add(run.id)
                elif node == SINGLE_CALLS:
                    self.kept.update((run.id, each, 0) for each in elements)
                else:
                    self.kept.update((run.id, node, each) for each in elements)
        self.calls = count_calls(folder)
        self.announced = sum(1 for _ in announced(folder))

    @property
    def state(self) -> str:
        """The name of the run's state."""
        return "none" if self.main is None else self.main.state.name

    def reused(self, run_id: str) -> list[int]:
        """How many results a run says that it reused, each time that it was resumed and ended."""
        lines = [_REUSED.match(line.message) for line in self.runs[run_id].logs()]
        return [int(line[1]) for line in lines if line is not None]

    def deaths(self) -> Iterator[str]:
        """What the logs tell of workers that died."""
        for run in self.runs.values():
            yield from (line.message for line in run.logs() if DEATH in line.message)


def completions_of(run: records.Run) -> Iterator[tuple[Element, Completion]]:
    """Each completion that was recorded of a task run, in the order of writing."""
    key = run_key(run.id)
    rows = database_of(run).read(lambda view: view.rows("batches", (key,)))
    flows = {node.node for node in run.nodes() if node.kind == "flow"}
    for batch in map(read_calls, rows):
        for at, code in enumerate(batch.states):
            if code not in SUCCESSFUL:
                continue
            if batch.stages is None:
                assert batch.nodes is not None
                node, index = batch.nodes[at], 0
            else:
                element, stage = divmod(at, len(batch.stages))
                node, index = batch.stages[stage], batch.start + element
            if node not in flows:
                yield (run.id, node, index), Completion(StateCode(code), batch.attempt_at(at))


def _kept(run: records.Run) -> Iterator[tuple[int, Any]]:
    for row in run._store.results(run.id):
        yield row.node, row.elements


def database_of(run: records.Run) -> Any:
    """The database that a run was read from."""
    return run._store._database  # type: ignore[attr-defined]


def count_calls(folder: Path) -> int:
    """How many calls were begun."""
    place = folder / CALLS
    return place.stat().st_size // CALL_BYTES if place.exists() else 0


def calls_of(folder: Path, start: int = 0) -> list[tuple[Element, int]]:
    """The calls that were begun, and in which processes, from a line on."""
    return [
        (_element(name), int(pid)) for name, pid in map(str.split, _lines(folder, CALLS)[start:])
    ]


def count_each(folder: Path, start: int = 0, stop: int | None = None) -> Counter[Element]:
    """How often each element was called, from one line of the file of calls to another."""
    return Counter(element for element, _ in calls_of(folder, start)[: stop and stop - start])


def announced(folder: Path) -> Iterator[tuple[str, str]]:
    """The states that were seen: of which run or task run, and which."""
    for line in _lines(folder, ANNOUNCED):
        run, _, state = line.partition(" ")
        yield run, state


def _lines(folder: Path, name: str) -> list[str]:
    place = folder / name
    return place.read_text().splitlines() if place.exists() else []


def _element(task_run_id: str) -> Element:
    run, node, index = task_run_id.split(".")
    return run, int(node), int(index)
