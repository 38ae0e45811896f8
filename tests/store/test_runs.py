"""Runs and their states: written, listed, found."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from dataflow.clock import datetime_of
from dataflow.errors import InvalidTransition, RunNotFound
from dataflow.model.states import StateCode, StateType
from dataflow.store.database import Transaction
from dataflow.store.run_filters import run_conditions, where
from dataflow.store.run_store import RunStore
from dataflow.store.store_places import find_place
from dataflow.store.summaries import PhaseSeconds
from tests.store.samples import (
    T0,
    fresh_run_id,
    log_record,
    run_record,
    run_state,
    run_timing_record,
)

SECOND = 1_000_000_000
EXPLAINED = {
    "sqlite": ("EXPLAIN QUERY PLAN", "USING INDEX", "TEMP B-TREE"),
    "postgres": ("EXPLAIN", "Index Scan", "Sort"),
}


def fill(store: RunStore, *specs: dict) -> list[str]:
    """Runs a second apart, the first one oldest; ``code`` is the state that each is in."""
    ids = []
    for number, spec in enumerate(specs):
        run_id = spec.pop("run_id", None) or fresh_run_id()
        code = spec.pop("code", StateCode.COMPLETED)
        created = T0 + number * SECOND
        run = run_record(run_id, **{"name": f"run-{number}", "created_ns": created, **spec})
        store.write([run, run_state(run_id, code, created)])
        ids.append(run_id)
    return ids


def test_a_run_comes_back_as_it_was_written(store):
    run_id = fresh_run_id()
    store.write([run_record(run_id, parent_run_id="p", parent_node=3, deployment="d")])
    run = store.run(run_id)
    assert run.flow_name == "data-pipeline"
    assert run.name == "brisk-otter"
    assert run.parameters == {"limit": 3}
    assert run.tags == ("nightly", "eu")
    assert (run.parent_run_id, run.parent_node, run.deployment) == ("p", 3, "d")
    assert (run.runner, run.flow_version, run.pid, run.host) == ("processes", "1", 42, "box")
    assert run.code_path == "/flows/pipeline.py"
    assert run.created == datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)


def test_a_run_without_a_state_is_pending(store):
    run_id = fresh_run_id()
    store.write([run_record(run_id)])
    run = store.run(run_id)
    assert run.state.is_pending()
    assert run.state.timestamp == run.created
    assert (run.started, run.ended, run.duration_seconds) == (None, None, None)


def test_states_make_up_the_run(store):
    run_id = fresh_run_id()
    states = [
        run_state(run_id, StateCode.PENDING, T0),
        run_state(run_id, StateCode.RUNNING, T0 + SECOND),
        run_state(run_id, StateCode.FAILED, T0 + 2 * SECOND, message="boom"),
        run_state(run_id, StateCode.AWAITING_RETRY, T0 + 3 * SECOND),
        run_state(run_id, StateCode.RETRYING, T0 + 4 * SECOND, run_count=2),
        run_state(run_id, StateCode.COMPLETED, T0 + 5 * SECOND, name="Fine", message="done"),
    ]
    store.write([run_record(run_id), *states[:3]])
    assert store.run(run_id).ended_ns == T0 + 2 * SECOND
    store.write(states[3:5])
    assert store.run(run_id).ended_ns is None
    assert store.run(run_id).run_count == 2
    store.write(states[5:])
    run = store.run(run_id)
    assert (run.state.type, run.state.name, run.state.message) == ("COMPLETED", "Fine", "done")
    assert run.state.timestamp == datetime_of(T0 + 5 * SECOND)
    assert (run.started_ns, run.ended_ns) == (T0 + SECOND, T0 + 5 * SECOND)
    assert run.duration_seconds == 4.0
    names = [state.name for state in store.run_states(run_id)]
    assert names == ["Pending", "Running", "Failed", "AwaitingRetry", "Retrying", "Fine"]


def test_states_may_come_before_their_run(store):
    run_id = fresh_run_id()
    store.write([run_state(run_id, StateCode.RUNNING)])
    assert store.find_runs() == []
    store.write([run_record(run_id)])
    assert store.run(run_id).state.is_running()


def test_a_run_sent_again_keeps_its_state(store):
    run_id = fresh_run_id()
    store.write([run_record(run_id), run_state(run_id, StateCode.RUNNING)])
    store.write([run_record(run_id, name="calm-newt")])
    run = store.run(run_id)
    assert (run.name, run.state.name) == ("calm-newt", "Running")
    assert len(store.find_runs()) == 1


def test_a_transition_that_the_table_does_not_know_is_refused_whole(store):
    run_id = fresh_run_id()
    store.write([run_record(run_id), run_state(run_id, StateCode.COMPLETED)])
    with pytest.raises(InvalidTransition, match="from Completed to Running") as caught:
        store.write([log_record(run_id, "lost"), run_state(run_id, StateCode.RUNNING)])
    assert caught.value.fields["run_id"] == run_id
    assert caught.value.fields["refused"].code == StateCode.RUNNING
    assert store.logs(run_id) == []
    assert store.run(run_id).state.is_completed()
    store.write([log_record(run_id, "kept")])
    assert [line.message for line in store.logs(run_id)] == ["kept"]


def test_a_listing_is_newest_first_and_paged(store):
    ids = fill(store, *({} for _ in range(5)))
    assert [run.run_id for run in store.find_runs()] == ids[::-1]
    assert [run.run_id for run in store.find_runs(limit=2, offset=1)] == [ids[3], ids[2]]
    assert len(store.find_runs(limit=None)) == 5
    assert store.find_runs(limit=0) == []


def test_filters_by_name_flow_and_tags(store):
    a, b, c = fill(store, {"tags": ("x",)}, {"tags": ("x", "y")}, {"flow_name": "other"})
    assert [run.run_id for run in store.find_runs(name="run-1")] == [b]
    assert [run.run_id for run in store.find_runs(flow_name="other")] == [c]
    assert [run.run_id for run in store.find_runs(tags=["x"])] == [b, a]
    assert [run.run_id for run in store.find_runs(tags=["x", "y"])] == [b]
    assert [run.run_id for run in store.find_runs(tags="y")] == [b]
    assert store.find_runs(tags=["x"], flow_name="other") == []


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        (["FAILED"], [2, 1]),
        (["failed"], [2, 1]),
        (["Failed"], [1]),
        (["TimedOut"], [2]),
        (["timedout"], [2]),
        ([StateType.FAILED], [2, 1]),
        ("COMPLETED", [3, 0]),
        (["Completed"], [0]),
        (["Mine"], [3]),
        (["Failed", "Mine"], [3, 1]),
        (["RUNNING"], []),
        ([], []),
    ],
)
def test_filters_by_state(store, wanted, found):
    codes = [StateCode.COMPLETED, StateCode.FAILED, StateCode.TIMED_OUT]
    ids = fill(store, *({"code": code} for code in codes), {})
    run_id = fresh_run_id()
    state = run_state(run_id, StateCode.COMPLETED, name="Mine")
    store.write([run_record(run_id, created_ns=T0 + 9 * SECOND), state])
    ids[3] = run_id
    shown = [run.run_id for run in store.find_runs(state=wanted)]
    assert [each for each in shown if each in ids] == [ids[number] for number in found]


def test_filters_by_time(store):
    a, b, c = fill(store, {}, {}, {})
    middle = datetime_of(T0 + SECOND)
    assert [run.run_id for run in store.find_runs(started_after=middle)] == [c]
    assert [run.run_id for run in store.find_runs(started_before=middle)] == [a]
    around = {
        "started_after": middle - timedelta(seconds=0.5),
        "started_before": middle + timedelta(seconds=0.5),
    }
    assert [run.run_id for run in store.find_runs(**around)] == [b]


def test_a_time_without_a_zone_is_local(store):
    (run_id,) = fill(store, {})
    local = datetime_of(T0).astimezone().replace(tzinfo=None)
    assert store.find_runs(started_after=local) == []
    found = store.find_runs(started_after=local - timedelta(seconds=1))
    assert [run.run_id for run in found] == [run_id]


def test_filters_by_parent(store):
    (parent,) = fill(store, {})
    (child,) = fill(store, {"parent_run_id": parent})
    assert [run.run_id for run in store.find_runs(parent_run_id=parent)] == [child]
    assert [run.run_id for run in store.find_runs(parent_run_id=None)] == [parent]
    assert len(store.find_runs()) == 2


def test_a_run_is_found_by_id_name_and_beginning(store):
    a, b = fill(store, {"run_id": "01ab" + "0" * 28}, {"run_id": "01ac" + "0" * 28})
    assert store.run(a).run_id == a
    assert store.run("run-1").run_id == b
    assert store.run("01ab").run_id == a


def test_a_name_goes_before_the_beginning_of_an_id(store):
    ids = fill(store, {"run_id": "beef" + "0" * 28}, {"name": "beef"})
    assert store.run("beef").run_id == ids[1]


def test_an_ambiguous_beginning_names_the_candidates(store):
    ids = fill(store, {"run_id": "01ab" + "0" * 28}, {"run_id": "01ac" + "0" * 28})
    with pytest.raises(RunNotFound, match="more than one") as caught:
        store.run("01a")
    assert set(caught.value.fields["candidates"]) == set(ids)
    assert all(run_id in str(caught.value) for run_id in ids)


def test_an_ambiguous_name_names_the_candidates(store):
    ids = fill(store, *({"name": "nightly"} for _ in range(3)))
    with pytest.raises(RunNotFound, match="more than one") as caught:
        store.run("nightly")
    assert caught.value.fields["candidates"] == ids[::-1]


@pytest.mark.parametrize("wanted", [None, 5, b"nightly", ["nightly"]])
def test_a_run_is_found_by_text(store, wanted):
    with pytest.raises(RunNotFound, match=f"of type {type(wanted).__name__}") as caught:
        store.run(wanted)
    assert "run.id" in str(caught.value.hint)


def test_a_name_that_is_not_there_brings_up_close_ones_and_the_store(store, place):
    fill(store, {"name": "brisk-otter"}, {"name": "calm-newt"})
    with pytest.raises(RunNotFound, match=r"no run.*'brisk-oter'") as caught:
        store.run("brisk-oter")
    assert f"in the store {find_place(place)}" in str(caught.value)
    assert "brisk-otter" in str(caught.value.hint)
    assert "calm-newt" not in str(caught.value.hint)


@pytest.mark.parametrize("wanted", ["", "nothing", "%", "é", "\udcff", "'; DROP TABLE runs"])
def test_what_is_not_there_is_not_found(store, wanted):
    fill(store, {})
    with pytest.raises(RunNotFound):
        store.run(wanted)


@pytest.mark.parametrize(
    "filters",
    [
        {},
        {"flow_name": "data-pipeline"},
        {"name": "run-0"},
        {"state": ["FAILED"]},
        {"state": ["TimedOut"]},
        {"parent_run_id": "p"},
        {"started_after": datetime_of(T0)},
    ],
)
def test_listings_walk_an_index_and_sort_nothing(store, dialect, filters):
    clause, values = where(run_conditions(**filters))
    explain, index, sort = EXPLAINED[dialect]

    def plan(view: Transaction) -> str:
        if dialect == "postgres":  # of a table so small it would rather read all
            list(
                view.execute(
                    "SELECT set_config('enable_seqscan', 'off', true), "
                    "set_config('enable_sort', 'off', true)"
                )
            )
        statement = f"{explain} {view.text('find_runs', clause)}"
        return "\n".join(row[-1] for row in view.execute(statement, (*values, 50, 0)))

    text = store._database.read(plan)
    assert index in text
    assert sort not in text


def test_where_the_time_of_a_run_went_comes_back_in_seconds(store):
    run_id, other = fill(store, {}, {})
    store.write([run_timing_record(run_id, compute_ns=500_000_000)])
    assert store.phases(run_id) == PhaseSeconds(1, 2, 3, 4, 0.5, 6, 7)
    assert store.phases(other) is None


def test_a_run_whose_time_is_written_again_has_the_latest(store):
    (run_id,) = fill(store, {})
    for seconds in (1, 2):
        store.write([run_timing_record(run_id, tracing_ns=seconds * SECOND)])
    phases = store.phases(run_id)
    assert phases is not None
    assert phases.tracing == 2


def test_how_long_tasks_took_in_the_last_runs(store):
    for number in range(8):
        run_id = fresh_run_id()
        tasks = (("load", 10, 10 * (number + 1) * SECOND), ("idle", 0, 0))
        store.write([run_record(run_id)])
        store.write([run_timing_record(run_id, ended_ns=number, tasks=tasks)])
    assert store.task_seconds(["load", "idle", "never"]) == {"load": 6.0}  # of 4, 5, 6, 7 and 8
    assert store.task_seconds(["load"], runs=1) == {"load": 8.0}
    assert store.task_seconds([]) == {}


def test_a_task_of_the_same_name_in_another_flow_may_be_another(store):
    for number, flow_name in enumerate(("etl", "report", "report")):
        run_id = fresh_run_id()
        tasks = (("load", 1, (number + 1) * SECOND),)
        store.write([run_record(run_id, flow_name=flow_name)])
        store.write([run_timing_record(run_id, ended_ns=number, tasks=tasks)])
    assert store.task_seconds(["load"], "etl") == {"load": 1.0}
    assert store.task_seconds(["load"], "report", runs=1) == {"load": 3.0}
    assert store.task_seconds(["load"], "never run") == {"load": 2.0}


def test_runs_with_many_calls_count_for_more(store):
    for calls, seconds in ((1, 100), (99, 0)):
        run_id = fresh_run_id()
        store.write([run_record(run_id)])
        tasks = (("load", calls, seconds * SECOND),)
        store.write([run_timing_record(run_id, ended_ns=calls, tasks=tasks)])
    assert store.task_seconds(["load"]) == {"load": 1.0}
