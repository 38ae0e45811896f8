"""Nodes and elements: counts, attempts, failures, times, logs."""

from __future__ import annotations

import pickle
from array import array

import pytest

from dataflow.clock import datetime_of
from dataflow.errors import StoreError
from dataflow.model.records import NodeLengthRecord
from dataflow.model.states import StateCode
from dataflow.store import element_queries
from dataflow.worker.failures import describe
from tests.store.samples import (
    OFFSET,
    T0,
    attempt_record,
    call_batch,
    fresh_run_id,
    log_record,
    map_batch,
    node_record,
)

OK, CACHED, FAILED, TIMED_OUT = (
    StateCode.COMPLETED,
    StateCode.CACHED,
    StateCode.FAILED,
    StateCode.TIMED_OUT,
)
WAITING, CRASHED, NOT_READY = StateCode.AWAITING_RETRY, StateCode.CRASHED, StateCode.NOT_READY


@pytest.fixture
def run_id() -> str:
    return fresh_run_id()


def counts(store, run_id, node=1):
    (found,) = [each for each in store.nodes(run_id) if each.node == node]
    return found.counts


def test_a_node_comes_back_as_it_was_written(store, run_id):
    record = node_record(
        run_id, 3, length=None, upstream=(1, 2), order=(0,), tags=("t",), child_run_id="c"
    )
    store.write([record])
    (node,) = store.nodes(run_id)
    for name in ("node", "kind", "key", "task_name", "name", "length", "upstream", "order", "tags"):
        assert getattr(node, name) == getattr(record, name)
    assert (node.child_run_id, node.created) == ("c", datetime_of(T0))
    assert (node.counts, node.recorded) == ({}, 0)


def test_a_node_that_is_sent_again_replaces_the_first(store, run_id):
    store.write([node_record(run_id, 1, name="a"), node_record(run_id, 2, name="b")])
    store.write([node_record(run_id, 1, name="c")])
    assert [node.name for node in store.nodes(run_id)] == ["c", "b"]


def test_a_length_that_becomes_known(store, run_id):
    store.write([node_record(run_id, 1, length=None), node_record(run_id, 2, length=None)])
    store.write([NodeLengthRecord(run_id, 1, 7), NodeLengthRecord(run_id, 2, None, "child")])
    one, two = store.nodes(run_id)
    assert (one.length, one.child_run_id) == (7, None)
    assert (two.length, two.child_run_id) == (None, "child")
    store.write([NodeLengthRecord(run_id, 2, 3)])
    assert (store.nodes(run_id)[1].length, store.nodes(run_id)[1].child_run_id) == (3, "child")


def test_length_and_node_in_one_write_are_applied_in_order(store, run_id):
    store.write(
        [
            node_record(run_id, 1, length=None),
            NodeLengthRecord(run_id, 1, 7),
            node_record(run_id, 2),
            node_record(run_id, 1, length=5),
        ]
    )
    assert [node.length for node in store.nodes(run_id)] == [5, 10]


def test_runs_do_not_mix(store, run_id):
    other = fresh_run_id()
    store.write(
        [
            node_record(run_id, 1),
            node_record(other, 1),
            map_batch(run_id, 1, 0, [OK] * 3),
            map_batch(other, 1, 0, [FAILED] * 2),
        ]
    )
    assert counts(store, run_id) == {"Completed": 3}
    assert counts(store, other) == {"Failed": 2}


def test_a_run_that_is_not_there_has_nothing(store):
    assert store.nodes("x") == []
    assert store.run_states("x") == []
    assert store.failures("x") == []
    assert store.logs("x") == []
    assert store.timing("x") == []


def test_fused_stages_are_counted_apart(store, run_id):
    nodes = [node_record(run_id, node) for node in (4, 9)]
    states = [OK, OK, OK, FAILED, FAILED, NOT_READY]
    store.write([*nodes, map_batch(run_id, (4, 9), 20, states)])
    assert counts(store, run_id, 4) == {"Completed": 2, "Failed": 1}
    assert counts(store, run_id, 9) == {"Completed": 1, "Failed": 1, "NotReady": 1}


def test_a_batch_that_stopped_between_two_stages(store, run_id):
    nodes = [node_record(run_id, node) for node in (4, 9)]
    store.write([*nodes, map_batch(run_id, (4, 9), 0, [OK])])
    assert [node.counts for node in store.nodes(run_id)] == [{"Completed": 1}, {}]


def test_a_batch_without_calls_is_nothing(store, run_id):
    store.write([node_record(run_id, 1), map_batch(run_id, 1, 0, []), call_batch(run_id, [], [])])
    assert counts(store, run_id) == {}
    assert store.timing(run_id) == []


def test_single_calls_are_counted_by_node(store, run_id):
    nodes = [node_record(run_id, node, kind="task", length=1) for node in range(5)]
    store.write(nodes)
    store.write([call_batch(run_id, [0, 3], [OK, FAILED]), call_batch(run_id, [1, 2], [OK, OK])])
    found = [node.counts for node in store.nodes(run_id)]
    assert found == [{"Completed": 1}] * 3 + [{"Failed": 1}, {}]
    assert store.element(run_id, 3).state.is_failed()
    assert store.element(run_id, 4).state.is_pending()


def test_of_several_attempts_the_last_written_counts(store, run_id):
    store.write([node_record(run_id, 1), map_batch(run_id, 1, 0, [OK, WAITING, OK])])
    assert counts(store, run_id) == {"Completed": 2, "AwaitingRetry": 1}
    store.write([map_batch(run_id, 1, 1, [OK], attempts=[2])])
    assert counts(store, run_id) == {"Completed": 3}


def test_what_took_more_attempts_before_its_run_went_on(store, run_id):
    tried = [attempt_record(run_id, 1, 0, attempt=n, message=f"no {n}") for n in (1, 2, 3)]
    store.write([node_record(run_id, 1), map_batch(run_id, 1, 0, [FAILED], attempts=[3]), *tried])
    again = attempt_record(run_id, 1, 0, attempt=1, message="again", ended_ns=T0 + 10**9)
    done = map_batch(run_id, 1, 0, [OK], attempts=[2], clock_offset_ns=OFFSET + 2 * 10**9)
    store.write([again, done])
    assert counts(store, run_id) == {"Completed": 1}
    element = store.element(run_id, 1, 0)
    shown = [(each.attempt, each.state.name, each.message) for each in element.attempts]
    assert shown == [(1, "Failed", "again"), (2, "Completed", None)]
    assert element.state.is_completed()
    assert store.failures(run_id) == []


def test_of_equal_attempts_the_last_written_counts(store, run_id):
    store.write([node_record(run_id, 1), map_batch(run_id, 1, 0, [FAILED] * 4)])
    store.write([map_batch(run_id, 1, 2, [OK] * 4)])
    assert counts(store, run_id) == {"Failed": 2, "Completed": 4}
    assert store.element(run_id, 1, 2).state.is_completed()
    assert [failure.index for failure in store.failures(run_id)] == [0, 1]


def test_retries_of_single_calls(store, run_id):
    store.write([node_record(run_id, node, kind="task", length=1) for node in (1, 2)])
    store.write([call_batch(run_id, [1, 2], [WAITING, OK])])
    store.write([call_batch(run_id, [1], [FAILED], attempts=[2])])
    store.write([call_batch(run_id, [1], [OK], attempts=[3])])
    assert counts(store, run_id, 1) == {"Completed": 1}
    element = store.element(run_id, 1)
    assert [attempt.attempt for attempt in element.attempts] == [1, 2, 3]
    assert element.state.is_completed()


def test_one_node_in_both_forms(store, run_id):
    store.write([node_record(run_id, 1, kind="task", length=1), node_record(run_id, 2)])
    store.write([map_batch(run_id, (1, 2), 0, [WAITING, NOT_READY])])
    store.write([call_batch(run_id, [1], [FAILED], attempts=[2])])
    assert counts(store, run_id, 1) == {"Failed": 1}
    assert [(f.node, f.index) for f in store.failures(run_id)] == [(1, 0)]
    assert [a.attempt for a in store.element(run_id, 1).attempts] == [1, 2]


def test_times_of_an_element(store, run_id):
    store.write([node_record(run_id, node) for node in (1, 2)])
    store.write([map_batch(run_id, (1, 2), 5, [OK] * 4)])
    first, last = store.element(run_id, 1, 5), store.element(run_id, 2, 6)
    assert (first.started_ns, first.ended_ns) == (T0, T0 + 100)
    assert (last.started_ns, last.ended_ns) == (T0 + 300, T0 + 400)
    assert last.started == datetime_of(T0 + 300)
    assert last.state.timestamp == last.ended
    assert last.worker == "box:7"


def test_times_of_elements_that_ran_side_by_side(store, run_id):
    started = array("q", [1_000, 1_010, 1_005]).tobytes()
    ended = array("q", [1_900, 1_100, 1_200]).tobytes()
    store.write([node_record(run_id, 1)])
    store.write([map_batch(run_id, 1, 0, [OK] * 3, started=started, ended=ended)])
    element = store.element(run_id, 1, 1)
    assert (element.started_ns, element.ended_ns) == (T0 + 10, T0 + 100)
    (timing,) = store.timing(run_id)
    assert timing.calls == 3
    assert timing.busy_seconds == pytest.approx((900 + 90 + 195) / 1e9)
    assert (timing.first_started_ns, timing.last_ended_ns) == (T0, T0 + 900)


def test_timing_adds_up_stages_and_calls(store, run_id):
    store.write([node_record(run_id, node) for node in (1, 2, 3)])
    store.write([map_batch(run_id, (1, 2), 0, [OK] * 4), map_batch(run_id, 1, 2, [OK] * 2)])
    store.write([call_batch(run_id, [3], [OK], clock_offset_ns=OFFSET + 1_000)])
    one, two, three = store.timing(run_id)
    assert [each.calls for each in (one, two, three)] == [4, 2, 1]
    assert one.busy_seconds == pytest.approx(400e-9)
    assert one.mean_seconds == pytest.approx(100e-9)
    assert two.wall_seconds == pytest.approx(300e-9)
    assert (three.first_started_ns, three.last_ended_ns) == (T0 + 1_000, T0 + 1_100)
    assert three.task_name == "clean"


def test_an_element_tells_its_attempts(store, run_id):
    store.write(
        [
            node_record(run_id, 1),
            map_batch(run_id, 1, 0, [OK, OK], attempts=[1, 3]),
            attempt_record(run_id, 1, 1, attempt=1, message="first"),
            attempt_record(run_id, 1, 1, attempt=2, code=TIMED_OUT, message="second"),
        ]
    )
    element = store.element(run_id, 1, 1)
    assert element.name == "clean-1[1]"
    assert element.task_name == "clean"
    shown = [(each.attempt, each.state.name, each.message) for each in element.attempts]
    assert shown == [(1, "Failed", "first"), (2, "TimedOut", "second"), (3, "Completed", None)]
    assert element.state.is_completed()
    assert element.last is element.attempts[-1]
    assert (element.exception, element.traceback) == (None, None)


def test_a_failed_attempt_that_waits_for_the_next(store, run_id):
    store.write([node_record(run_id, 1), map_batch(run_id, 1, 0, [WAITING])])
    store.write([attempt_record(run_id, 1, 0, message="boom")])
    element = store.element(run_id, 1, 0)
    assert (element.state.name, element.state.message) == ("AwaitingRetry", "boom")
    assert element.attempts[0].state.name == "Failed"
    assert store.failures(run_id) == []


def test_a_lost_attempt_that_waits_for_the_next(store, run_id):
    store.write([node_record(run_id, 1), map_batch(run_id, 1, 0, [WAITING])])
    lost = attempt_record(run_id, 1, 0, attempt=2, code=CRASHED, message="gone", ended_ns=T0 + 900)
    store.write([attempt_record(run_id, 1, 0, message="boom"), lost])
    element = store.element(run_id, 1, 0)
    assert (element.state.name, element.state.message) == ("AwaitingRetry", "gone")
    assert [each.state.name for each in element.attempts] == ["Failed", "Crashed"]


def test_a_lost_call_that_was_run_again(store, run_id):
    store.write([node_record(run_id, 1), attempt_record(run_id, 1, 0, code=CRASHED)])
    assert store.element(run_id, 1, 0).state.is_crashed()
    store.write([map_batch(run_id, 1, 0, [OK])])
    element = store.element(run_id, 1, 0)
    assert [each.state.name for each in element.attempts] == ["Completed"]


def test_states_with_names_of_their_own(store, run_id):
    mine = attempt_record(run_id, 1, 0, code=OK, name="Partly", message="half of it")
    store.write([node_record(run_id, 1), map_batch(run_id, 1, 0, [OK]), mine])
    state = store.element(run_id, 1, 0).state
    assert (state.type, state.name, state.message) == ("COMPLETED", "Partly", "half of it")


class SomethingOdd(Exception):
    """An exception that can be pickled."""


def test_an_exception_comes_back_as_itself(store, run_id):
    try:
        raise SomethingOdd("boom")
    except SomethingOdd as error:
        failure = describe(error)
    told = attempt_record(
        run_id,
        1,
        0,
        message=f"Task run encountered an exception {failure.type}: boom",
        exception_type=failure.type,
        exception=failure.exception,
        traceback=failure.traceback,
    )
    store.write([node_record(run_id, 1), map_batch(run_id, 1, 0, [FAILED]), told])
    element = store.element(run_id, 1, 0)
    assert type(element.exception) is SomethingOdd
    assert str(element.exception) == "boom"
    assert "raise SomethingOdd" in element.traceback
    (failed,) = store.failures(run_id)
    assert failed.name == "clean-1[0]"
    assert failed.exception_type.endswith("SomethingOdd")
    assert type(failed.exception) is SomethingOdd
    assert failed.traceback == element.traceback


def test_an_exception_that_cannot_be_loaded_still_tells(store, run_id):
    told = attempt_record(run_id, 1, 0, exception=b"cgone\nGone\n.", exception_type="gone.Gone")
    store.write([node_record(run_id, 1), map_batch(run_id, 1, 0, [FAILED]), told])
    error = store.element(run_id, 1, 0).exception
    assert isinstance(error, RuntimeError)
    assert "gone.Gone" in str(error)


def test_failures_are_those_that_stayed(store, run_id):
    store.write([node_record(run_id, node) for node in (1, 2, 3)])
    store.write(
        [
            map_batch(run_id, (2, 1), 0, [OK, FAILED, TIMED_OUT, NOT_READY, OK, CRASHED]),
            attempt_record(run_id, 1, 0, message="one"),
            attempt_record(run_id, 2, 1, code=TIMED_OUT),
            attempt_record(run_id, 3, 0, attempt=1, message="mended"),
            call_batch(run_id, [3], [OK], attempts=[2]),
        ]
    )
    found = store.failures(run_id)
    assert [(each.node, each.index) for each in found] == [(1, 0), (1, 2), (2, 1)]
    assert [each.state.name for each in found] == ["Failed", "Crashed", "TimedOut"]
    assert found[0].message == "one"
    assert found[1].exception is None
    assert [each.index for each in store.failures(run_id, node=1)] == [0, 2]
    assert len(store.failures(run_id, limit=2)) == 2
    assert store.failures(run_id, node=3) == []


def test_a_failure_of_a_node_that_is_not_yet_known(store, run_id):
    store.write([map_batch(run_id, 8, 0, [FAILED])])
    assert [each.name for each in store.failures(run_id)] == ["node-8[0]"]


@pytest.mark.parametrize("index", [-1, 10])
def test_an_element_that_is_not_there(store, run_id, index):
    store.write([node_record(run_id, 1, length=10)])
    with pytest.raises(StoreError, match=f"no element {index}: its length is 10"):
        store.element(run_id, 1, index)


def test_a_node_that_is_not_there(store, run_id):
    with pytest.raises(StoreError, match="no node 5"):
        store.element(run_id, 5)


def test_an_element_with_nothing_recorded_is_pending(store, run_id):
    store.write([node_record(run_id, 1, length=None)])
    element = store.element(run_id, 1, 99)
    assert element.state.is_pending()
    assert (element.attempts, element.last, element.worker, element.started) == ((), None) + (
        None,
    ) * 2


def test_logs_are_in_the_order_of_time(store, run_id):
    lines = [
        log_record(run_id, "c", timestamp_ns=T0 + 2),
        log_record(run_id, "b", timestamp_ns=T0 + 1, sequence=2),
        log_record(run_id, "a", timestamp_ns=T0 + 1, sequence=1, level=30),
    ]
    store.write(lines)
    assert [line.message for line in store.logs(run_id)] == ["a", "b", "c"]
    assert [line.message for line in store.logs(run_id, limit=2)] == ["a", "b"]
    (warning,) = store.logs(run_id, level=30)
    assert (warning.message, warning.level_name) == ("a", "WARNING")
    assert warning.timestamp == datetime_of(T0 + 1)


def test_logs_can_be_followed(store, run_id):
    store.write([log_record(run_id, "late", timestamp_ns=T0 + 9), log_record("else", "x")])
    last = store.logs(run_id)[-1].id
    assert store.logs(run_id, after=last) == []
    store.write([log_record(run_id, "older", timestamp_ns=T0), log_record(run_id, "newer")])
    assert [line.message for line in store.logs(run_id, after=last)] == ["older", "newer"]
    assert [line.message for line in store.logs(run_id, after=last, limit=1)] == ["older"]


def test_logs_of_a_node_and_of_an_element(store, run_id):
    store.write(
        [
            node_record(run_id, 1),
            log_record(run_id, "flow"),
            log_record(run_id, "b", node=1, index=1, attempt=2, timestamp_ns=T0 + 1),
            log_record(run_id, "a", node=1, index=1, task_run_name="clean-1[1]"),
            log_record(run_id, "c", node=1, index=2, timestamp_ns=T0 + 2),
            log_record(run_id, "d", node=2, index=1),
        ]
    )
    assert [line.message for line in store.logs(run_id, 1)] == ["a", "b", "c"]
    assert [line.message for line in store.logs(run_id, 1, 1)] == ["a", "b"]
    element = store.element(run_id, 1, 1)
    assert [(line.message, line.attempt) for line in element.logs] == [("a", 1), ("b", 2)]
    assert element.logs[0].task_run_name == "clean-1[1]"


def test_text_that_is_no_valid_unicode_is_kept_legible(store, run_id, dialect):
    store.write(
        [
            node_record(run_id, 1, name="n-\udcff", tags=("\udcff",)),
            log_record(run_id, "bad \udcff name"),
            log_record(run_id, "a zero \0 inside"),
        ]
    )
    messages = [line.message for line in store.logs(run_id)]
    zero = "\0" if dialect == "sqlite" else "\\x00"
    assert messages == ["bad \\udcff name", f"a zero {zero} inside"]
    assert store.nodes(run_id)[0].tags == ("\udcff",)


def test_summaries_can_be_pickled(store, run_id):
    store.write([node_record(run_id, 1), map_batch(run_id, 1, 0, [FAILED])])
    for summary in (*store.nodes(run_id), store.element(run_id, 1, 0), *store.failures(run_id)):
        assert pickle.loads(pickle.dumps(summary)) == summary


def test_a_million_elements_are_counted_without_reading_them(store, run_id, monkeypatch):
    store.write([node_record(run_id, 1, length=1_000_000)])
    size = 2_000
    full, mixed = [OK] * size, [FAILED] + [OK] * (size - 1)
    batches = [
        map_batch(run_id, 1, start, mixed if start % 100_000 == 0 else full)
        for start in range(0, 1_000_000, size)
    ]
    store.write(batches)
    read = []
    settle = element_queries._settled

    def noted(view, group, *more):
        read.extend(group)
        return settle(view, group, *more)

    monkeypatch.setattr(element_queries, "_settled", noted)
    assert counts(store, run_id) == {"Completed": 999_990, "Failed": 10}
    assert store.element(run_id, 1, 500_000).state.is_failed()
    assert not read
    assert len(store.failures(run_id)) == 10
    assert len(read) == 10
