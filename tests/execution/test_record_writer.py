"""The record writer: what is refused is told, and costs nobody else anything."""

from __future__ import annotations

import contextlib
from pathlib import Path

from dataflow.execution.record_writer import RecordWriter
from dataflow.model.records import LogRecord
from dataflow.model.states import StateCode
from dataflow.store.run_store import open_store
from tests.store.samples import run_record, run_state


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
