"""Results that are persisted, and read again: in this process, and in another one, later."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import threading
import traceback
from pathlib import Path

import pytest

from dataflow import flow, records, task, unmapped
from dataflow.errors import (
    DefinitionError,
    MissingExtra,
    ResultMissing,
    SerializationError,
    StorageError,
)
from dataflow.serializers import Serializer
from tests.runners.conftest import every_batch_size
from tests.runners.stored import counts_of, run_of

pytestmark = every_batch_size


@task(persist_result=True)
def double(x):
    return 2 * x


@task(persist_result=True)
def as_list(x):
    return [x]


@task
def increment(x):
    return x + 1


@task(persist_result=True)
async def double_async(x):
    return 2 * x


@task(cache_result_in_memory=False, persist_result=True)
def large(x):
    return [x] * 10


@task
def length(values):
    values.append(0)
    return len(values)


@flow
def all_ways():
    mapped, submitted, called = double.map(range(25)), double.submit(50), double(60)
    return mapped.result(), submitted.result(), called


def test_what_was_persisted_is_read_in_another_process(runner, home):
    expected = all_ways()
    program = (
        "from dataflow import records\n"
        "run = records.runs(flow_name='all-ways')[0]\n"
        "print((run.results('double-0'), run.element('double-1').state.result(),\n"
        "       run.element('double-2').state.result()))\n"
    )
    environment = {**os.environ, "DATAFLOW_HOME": str(home)}
    shown = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True
    )
    assert shown.stdout.strip() == repr(expected)


def test_small_results_of_a_batch_share_an_object(runner, home):
    all_ways()
    run = run_of(all_ways)
    objects = [path for path in (home / "results" / run.id).iterdir() if path.is_file()]
    rows = run._store.results(run.id)
    assert len(objects) == len({row.name for row in rows}) <= sum(len(row.elements) for row in rows)


@flow
def kept_and_not():
    return increment.map(double.map(range(9))).result()


def test_only_what_was_asked_for_is_kept(runner):
    assert kept_and_not() == [2 * x + 1 for x in range(9)]
    run = run_of(kept_and_not)
    assert run.results("double-0") == [2 * x for x in range(9)]
    with pytest.raises(ResultMissing, match=r"increment-0\[0\].*not persisted"):
        run.results("increment-0")
    with pytest.raises(ResultMissing, match="persist_result"):
        run.element("increment-0", 3).state.result()


@flow
def with_async():
    return double_async.map(range(7)).result(), double_async.submit(8).result()


def test_results_of_async_tasks(runner):
    assert with_async() == ([2 * x for x in range(7)], 16)
    assert run_of(with_async).results("double_async-0") == [2 * x for x in range(7)]


@flow
def not_in_memory():
    values = large.map(range(5))
    lengths = length.map(values)
    again = length.map(values)
    return values.result(), lengths.result(), again.result(), length.submit(values[3]).result()


def test_results_that_do_not_stay_in_memory(runner, shares_objects):
    values, lengths, again, one = not_in_memory()
    assert lengths == again == [11] * 5
    assert one == 11
    assert values == [[x] * 10 for x in range(5)]


@flow(persist_result=True)
def keeps_all(factor: int = 3):
    return {"sum": sum(increment.map(range(factor)).result())}


def test_a_flow_keeps_the_results_of_its_tasks_and_its_own(runner):
    assert keeps_all() == {"sum": 6}
    run = run_of(keeps_all)
    assert run.results("increment-0") == [1, 2, 3]
    assert run.state.result() == {"sum": 6}


def test_settings_have_all_results_persisted(runner, monkeypatch, tmp_path):
    monkeypatch.setenv("DATAFLOW_RESULTS_PERSIST_BY_DEFAULT", "true")
    monkeypatch.setenv("DATAFLOW_RESULTS_STORAGE", str(tmp_path / "elsewhere"))
    monkeypatch.setenv("DATAFLOW_RESULTS_SERIALIZER", "msgpack")
    kept_and_not()
    run = run_of(kept_and_not)
    assert run.results("increment-0") == [2 * x + 1 for x in range(9)]
    assert run.state.result() == [2 * x + 1 for x in range(9)]
    (row, *_) = run._store.results(run.id)
    assert (row.storage, row.serializer) == (str(tmp_path / "elsewhere"), "msgpack")


# --- where and how --------------------------------------------------------------------------------


@pytest.mark.parametrize("serializer", ["pickle", "json", "msgpack", "compressed/json"])
def test_serializers_by_name(runner, tmp_path, serializer):
    kept = as_list.with_options(result_serializer=serializer, result_storage=tmp_path / "kept")

    @flow
    def serialized():
        return kept.map(range(30)).result()

    assert serialized() == [[x] for x in range(30)]
    run = run_of(serialized)
    assert run.results("as_list-0") == [[x] for x in range(30)]
    assert {row.serializer for row in run._store.results(run.id)} == {serializer}


class Reversed(Serializer):
    name = "reversed"

    def dumps(self, value):
        return repr(value).encode()[::-1]

    def loads(self, data):
        return int(data[::-1])


def test_a_serializer_of_ones_own(runner):
    kept = double.with_options(result_serializer=Reversed())

    @flow
    def own():
        return kept.map(range(30)).result()

    own()
    assert run_of(own).results("double-0") == [2 * x for x in range(30)]


@task(result_serializer="json")
def awkward(x):
    return {1, 2} if x == 4 else x


@flow(name="named")
def cannot_be_written():
    awkward.map(range(9)).wait()


def test_an_element_whose_result_cannot_be_serialized_fails_alone(runner):
    assert cannot_be_written(return_state=True).is_failed()
    run = run_of(cannot_be_written)
    assert run.nodes()[0].counts == {"Completed": 8, "Failed": 1}
    (failure,) = run.failures()
    assert failure.index == 4
    assert isinstance(failure.exception, SerializationError)
    assert "awkward-0[4]" in str(failure.exception)
    assert "'json' does not take it" in str(failure.exception)
    assert run.element("awkward-0", 5).state.result() == 5


@flow(result_serializer="json", persist_result=True)
def returns_a_set(x):
    return {x}


def test_a_flow_whose_result_cannot_be_serialized_says_so(runner):
    assert returns_a_set(1) == {1}
    run = run_of(returns_a_set)
    (said,) = [line.message for line in run.logs() if "cannot be persisted" in line.message]
    assert said.startswith("What the flow returned cannot be persisted: the serializer 'json'")
    assert "Hint: Return something else" in said


@flow
def persists_a_lock():
    result_of_lock.submit().result()


@task(persist_result=True)
def result_of_lock():
    return threading.Lock()


def test_what_a_serializer_refuses_is_raised_without_our_lines(runner):
    with pytest.raises(TypeError, match="result_of_lock") as caught:
        persists_a_lock()
    text = "".join(traceback.format_exception(caught.value.with_traceback(None)))
    assert "Traceback" not in text
    assert "Hint: Return" in text


@task(result_storage_key="{flow_run.flow_name}/{task_run.task_name}-{parameters[x]}.json")
def keyed(x, y=1):
    return x * y


@flow
def names_its_results():
    return keyed.map(range(3)).result(), keyed.submit(7, y=2).result()


def test_results_under_names_of_the_users_own(runner, home):
    assert names_its_results() == ([0, 1, 2], 14)
    place = home / "results" / "names-its-results"
    assert {path.name for path in place.iterdir()} == {f"keyed-{x}.json" for x in (0, 1, 2, 7)}
    assert run_of(names_its_results).results("keyed-0") == [0, 1, 2]


@task(result_storage_key="../{parameters[x]}")
def leads_out(x):
    return x


@flow
def leads_out_flow():
    return leads_out.submit(1).result()


def test_a_name_that_leads_out_of_the_storage_is_refused(runner):
    with pytest.raises(DefinitionError, match="no name within a storage"):
        leads_out_flow()


def test_memory_is_a_storage_of_one_process(runner, shares_objects):
    kept = double.with_options(result_storage="memory://kept-here")

    @flow
    def remembered():
        return kept.map(range(5)).result()

    if not shares_objects:
        with pytest.raises(StorageError, match="memory of one process"):
            remembered()
        return
    assert remembered() == [0, 2, 4, 6, 8]
    assert run_of(remembered).results("double-0") == [0, 2, 4, 6, 8]


def test_a_url_whose_library_is_missing_says_what_to_install(runner):
    kept = double.with_options(result_storage="oss://bucket/results")

    @flow
    def far_away():
        return kept.submit(1)

    with pytest.raises(MissingExtra, match="Install ossfs"):  # those of extras are in test_storages
        far_away()


def test_a_place_that_cannot_be_written_is_refused_before_anything_runs(runner, tmp_path):
    (tmp_path / "file").write_text("in the way")
    kept = double.with_options(result_storage=tmp_path / "file" / "results")

    @flow
    def nowhere():
        return kept.map(range(3))

    with pytest.raises(StorageError, match="cannot be used"):
        nowhere()
    assert counts_of(nowhere) == {}


def test_an_unknown_serializer_is_refused_with_the_names_there_are(runner):
    kept = double.with_options(result_serializer="jsn")

    @flow
    def misspelt():
        return kept.submit(1)

    with pytest.raises(DefinitionError, match="no serializer 'jsn'") as caught:
        misspelt()
    assert "json" in str(caught.value)


@task(persist_result=True)
def grow(values):
    values.append(len(values))
    return values


@flow
def shared_lists():
    start = grow.submit([])
    return grow.map([start, start]).result(), grow.submit(unmapped(start)).result(), start.result()


def test_persisting_changes_nothing_of_what_tasks_get(runner, shares_objects):
    mapped, submitted, start = shared_lists()
    if not shares_objects:
        assert mapped == [[0, 1], [0, 1]]
        assert (submitted, start) == ([0, 1], [0])


def test_states_with_kept_results_can_be_sent(runner):
    keeps_all()
    state = pickle.loads(pickle.dumps(run_of(keeps_all).element("increment-0", 1).state))
    assert state.result() == 2


def test_a_removed_result_is_missing(runner, home):
    keeps_all()
    run = run_of(keeps_all)
    for path in Path(home / "results").rglob("*"):
        if path.is_file():
            path.unlink()
    with pytest.raises(ResultMissing, match="not there any more"):
        records.get_run(run.id).results("increment-0")


@task(persist_result=True)
def breaks(x):
    raise ValueError(x)


@flow(fail_on_unhandled=False)
def tells_its_futures():
    futures = [double.submit(4), *double.map(range(3)), breaks.submit(5)]
    for future in futures:
        future.wait()
    return " ".join(future.task_run_id for future in futures)


def test_futures_are_asked_in_another_process(runner, home):
    program = (
        "import sys\n"
        "from dataflow.recorded_futures import RecordedFuture\n"
        "futures = list(map(RecordedFuture, sys.argv[1:]))\n"
        "print([future.result() for future in futures[:-1]], futures[1].state.name)\n"
        "print(repr(futures[-1].result(raise_on_failure=False)), futures[0].task_run_name)\n"
    )
    shown = subprocess.run(
        [sys.executable, "-c", program, *tells_its_futures().split()],
        env={**os.environ, "DATAFLOW_HOME": str(home)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert shown.stdout.splitlines() == ["[8, 0, 2, 4] Completed", "ValueError(5) double-0"]
