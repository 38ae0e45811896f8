"""The reading API, on a store with a run that a user would look at."""

from __future__ import annotations

import gc
import subprocess
import sys

import pytest

from dataflow import records
from dataflow.errors import RunNotFound, StoreError
from dataflow.model.states import StateCode
from dataflow.records import get_run, runs
from dataflow.store.run_store import open_store
from dataflow.store.store_places import find_place
from tests.store.samples import (
    T0,
    attempt_record,
    call_batch,
    fresh_run_id,
    log_record,
    map_batch,
    node_record,
    run_record,
    run_state,
    run_timing_record,
)

OK, FAILED = StateCode.COMPLETED, StateCode.FAILED
SECOND = 1_000_000_000


@pytest.fixture
def path(tmp_path):
    """A store with one run that failed, and a subflow of it."""
    run_id, child = fresh_run_id(), fresh_run_id()
    store = open_store(tmp_path / "runs.db")
    store.write(
        [
            run_record(run_id, name="brisk-otter"),
            run_state(run_id, StateCode.RUNNING, T0),
            node_record(run_id, 0, kind="task", task_name="load", name="load-0", length=1),
            node_record(run_id, 1, task_name="clean", name="clean-1", length=3, upstream=(0,)),
            node_record(run_id, 2, task_name="clean", name="clean-2", length=None),
            node_record(run_id, 3, kind="task", name="odd[7]", task_name="odd", length=1),
            call_batch(run_id, [0], [OK]),
            map_batch(run_id, 1, 0, [OK, FAILED, OK]),
            attempt_record(run_id, 1, 1, message="boom"),
            log_record(run_id, "hello"),
            log_record(run_id, "careful", node=1, index=1, level=30),
            run_record(child, name="calm-newt", flow_name="inner", parent_run_id=run_id),
            run_state(run_id, FAILED, T0 + 2 * SECOND, message="1/3 states failed."),
        ]
    )
    store.close()
    return tmp_path / "runs.db"


@pytest.fixture
def run(path):
    return get_run("brisk-otter", store=path)


def test_runs_are_listed(path):
    assert {run.name for run in runs(store=path)} == {"brisk-otter", "calm-newt"}
    (found,) = runs(flow_name="data-pipeline", state="failed", store=str(path))
    assert found.name == "brisk-otter"
    assert runs(state="Completed", store=f"sqlite:///{path}") == []


def test_a_run_tells_about_itself(run):
    assert run.flow_name == "data-pipeline"
    assert run.parameters == {"limit": 3}
    assert run.tags == ("nightly", "eu")
    assert run.state.is_failed()
    assert (run.ended - run.started).total_seconds() == run.duration_seconds == 2.0
    assert run.created == run.started
    assert [state.name for state in run.states()] == ["Running", "Failed"]
    assert [each.name for each in run.subflows()] == ["calm-newt"]


def test_nodes_with_their_counts(run):
    assert [node.counts for node in run.nodes()] == [
        {"Completed": 1},
        {"Completed": 2, "Failed": 1},
        {},
        {},
    ]


@pytest.mark.parametrize(
    ("wanted", "node"), [(1, 1), ("clean-1", 1), ("load", 0), ("odd[7]", 3), ("odd", 3)]
)
def test_a_node_by_number_name_or_task(run, wanted, node):
    assert run.node(wanted).node == node


def test_a_node_that_is_not_there_or_not_the_only_one(run):
    with pytest.raises(StoreError, match="several nodes") as caught:
        run.node("clean")
    assert "clean-1" in str(caught.value.hint)
    assert "clean-2" in str(caught.value.hint)
    with pytest.raises(StoreError, match="no node 'nothing'") as caught:
        run.node("nothing")
    assert "load-0" in str(caught.value.hint)
    with pytest.raises(StoreError, match="no node 9"):
        run.element(9)


@pytest.mark.parametrize("place", [("clean-1", 1), ("clean-1[1]",), (1, 1)])
def test_an_element(run, place):
    element = run.element(*place)
    assert element.name == "clean-1[1]"
    assert element.state.message == "boom"
    assert [line.message for line in element.logs] == ["careful"]


def test_an_element_of_a_name_that_ends_like_one(run):
    assert run.element("odd[7]").node == 3


def test_failures(run):
    (failure,) = run.failures()
    assert (failure.name, failure.message) == ("clean-1[1]", "boom")
    assert run.failures("load") == []
    assert run.failures(1) == [failure]


def test_logs(run):
    assert [line.message for line in run.logs()] == ["hello", "careful"]
    assert [line.message for line in run.logs(level="warning")] == ["careful"]
    assert [line.message for line in run.logs("clean-1", 1)] == ["careful"]
    with pytest.raises(ValueError, match="no log level"):
        run.logs(level="loud")


def test_timing(run):
    timing = run.timing()
    assert timing.wall_seconds == 2.0
    assert timing.calls == 4
    assert timing.busy_seconds == pytest.approx(400e-9)
    assert [each.node for each in timing.nodes] == [0, 1]
    assert timing.phases is None


def test_timing_has_the_phases_that_were_recorded(run, path):
    store = open_store(path)
    store.write([run_timing_record(run.id)])
    store.close()
    assert run.timing().phases == records.PhaseSeconds(1, 2, 3, 4, 5, 6, 7)


def test_refreshing(run, path):
    store = open_store(path)
    store.write([run_state(run.id, StateCode.RETRYING, T0 + 3 * SECOND)])
    store.close()
    assert run.state.name == "Failed"
    assert run.refresh().state.name == "Retrying"
    assert run.refresh() != run


def test_reprs(run):
    assert repr(run) == f"<Run 'brisk-otter' of 'data-pipeline': Failed, id {run.id}>"
    shown = [repr(node) for node in run.nodes()]
    assert shown[1] == "<Node 1 'clean-1', map of 3: 2 Completed, 1 Failed>"
    assert shown[2] == "<Node 2 'clean-2', map of ?: Pending>"
    assert shown[0] == "<Node 0 'load-0', task: 1 Completed>"
    assert repr(run.element("clean-1", 1)) == (
        "<Element 'clean-1[1]': Failed(message='boom'), attempt 1>"
    )
    assert repr(run.element("clean-2")) == "<Element 'clean-2[0]': Pending()>"
    assert repr(run.failures()[0]) == (
        "<Failure of 'clean-1[1]': Failed(message='boom'), attempt 1>"
    )


def test_a_run_that_is_not_there(path):
    with pytest.raises(RunNotFound, match="brisk-oter"):
        get_run("brisk-oter", store=path)


def test_a_path_without_a_store_makes_none(tmp_path):
    with pytest.raises(StoreError, match="no store at"):
        runs(store=tmp_path / "typo.db")
    assert list(tmp_path.iterdir()) == []


def test_the_store_of_the_settings(monkeypatch, tmp_path, path):
    monkeypatch.delenv("DATAFLOW_STORE_URL", raising=False)
    monkeypatch.setenv("DATAFLOW_HOME", str(tmp_path / "home"))
    assert runs() == []
    monkeypatch.setenv("DATAFLOW_STORE_URL", str(path))
    assert get_run("brisk-otter").name == "brisk-otter"


def test_a_store_is_closed_when_nobody_uses_it(path):
    found = runs(store=path)
    assert find_place(path) in records._stores
    del found
    gc.collect()
    assert find_place(path) not in records._stores
    assert [file.name for file in path.parent.iterdir()] == ["runs.db"]


def test_reading_imports_nothing_heavy():
    heavy = "pydantic networkx distributed rich asyncio pandas numpy cloudpickle".split()
    program = (
        "import sys; import dataflow.records, dataflow.store.sqlite_store; "
        f"print([name for name in {heavy} if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
