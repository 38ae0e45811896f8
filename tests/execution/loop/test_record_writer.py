"""The record writer: what is refused is told, and costs nobody else anything."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest

from dataflow.errors import InvalidTransition
from dataflow.execution.loop.record_writer import RecordWriter
from dataflow.model.records import LogRecord
from dataflow.model.states import StateCode
from dataflow.store.run_store import open_store
from tests.store.samples import run_record, run_state


def _states(path: Path, run_id: str) -> list[str]:
    with contextlib.closing(open_store(path)) as store:
        return [state.name for state in store.run_states(run_id)]


def test_a_state_that_a_run_cannot_enter_is_logged(tmp_path: Path) -> None:
    shown: list[LogRecord] = []
    failures: list[BaseException] = []
    writer = RecordWriter(lambda: open_store(tmp_path / "s.db"), failures.append, shown.extend)
    first, second = run_record("1" * 32), run_record("2" * 32)
    done = [run_state(each.run_id, StateCode.COMPLETED) for each in (first, second)]
    begun = [run_state(each.run_id, StateCode.RUNNING) for each in (first, second)]
    writer.write_now([first, second, *begun, done[0]])
    writer.write_now([run_state(first.run_id, StateCode.RUNNING), done[1]])
    writer.close()
    with contextlib.closing(open_store(tmp_path / "s.db")) as store:
        names = [store.run(each.run_id).state.name for each in (first, second)]
    assert names == ["Completed", "Completed"]
    (line,) = shown
    assert line.run_id == first.run_id
    assert "not recorded" in line.message and "Running" in line.message
    assert not failures


def test_only_the_state_that_was_refused_is_not_recorded(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    shown: list[LogRecord] = []
    failures: list[BaseException] = []
    writer = RecordWriter(lambda: open_store(path), failures.append, shown.extend)
    runs = [run_record(digit * 32) for digit in "12"]
    good = [StateCode.PENDING, StateCode.RUNNING, StateCode.COMPLETED]
    refused = [StateCode.RUNNING, StateCode.FAILED]
    states = [
        run_state(run.run_id, code, message="\udcff") for code in [*good, *refused] for run in runs
    ]
    writer.write_now([*runs, *states])
    writer.close()
    for run in runs:
        assert _states(path, run.run_id) == ["Pending", "Running", "Completed"]
    told = sorted((line.run_id[0], line.message.partition("from ")[2]) for line in shown)
    said = ["Completed to Failed.", "Completed to Running."]
    assert told == [(digit, each) for digit in "12" for each in said]
    assert not failures


class _RefusesAll:
    """A store that does not say which record it refuses."""

    def write(self, records: object) -> None:
        raise InvalidTransition("No.")

    def close(self) -> None:
        pass


def test_a_refusal_of_nobody_knows_what_ends_the_writing(tmp_path: Path) -> None:
    failures: list[BaseException] = []
    writer = RecordWriter(_RefusesAll, failures.append, lambda lines: None)  # type: ignore[arg-type]
    with pytest.raises(InvalidTransition, match="No"):
        writer.write_now([run_record("1" * 32)])
    writer.close()
    assert len(failures) == 1
