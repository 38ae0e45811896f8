"""Many processes on one store, and a long history: the short forms of what is run by hand."""

from __future__ import annotations

from benchmarks.crowd import run_crowd
from benchmarks.history import QUESTIONS, write_history


def test_flows_of_many_processes_on_one_store(place):
    outcome = run_crowd(place, processes=6, elements=1000, runs=2)
    assert outcome.problems == []
    assert (outcome.completed, outcome.elements) == (12, 12_000)


def test_a_history_is_listed_without_reading_it(store):
    write_history(store, elements=30_000, runs=300, batch=50)
    assert {name: bool(ask(store)) for name, ask in QUESTIONS.items()} == dict.fromkeys(
        QUESTIONS, True
    )
    assert [run.name for run in store.find_runs(limit=2)] == ["run-299", "run-298"]
    assert len(store.find_runs(state=["FAILED"])) == 3
    assert store.info().calls == 30_000
