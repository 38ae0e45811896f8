"""What holds for all records, whatever they are cut into and in whatever order they come."""

from __future__ import annotations

import itertools
from array import array
from collections import Counter

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dataflow.model.records import BatchRecord, DueHooksRecord, NodeLengthRecord, NodeRecord
from dataflow.model.states import StateCode
from dataflow.store.batch_columns import BatchCalls
from dataflow.store.named_sql import DIALECTS
from dataflow.store.node_chunks import FIELDS, apply_chunks, chunk_nodes
from dataflow.store.run_store import RunStore, open_store
from tests.store.samples import call_batch, fresh_run_id, map_batch, node_record

FAILING = {StateCode.FAILED, StateCode.TIMED_OUT, StateCode.CRASHED}
QUICK = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
codes = st.sampled_from(
    [
        StateCode.COMPLETED,
        StateCode.FAILED,
        StateCode.AWAITING_RETRY,
        StateCode.CRASHED,
        StateCode.NOT_READY,
    ]
)


@pytest.fixture(scope="module", params=DIALECTS)
def shared(request, tmp_path_factory):
    """One store for all examples; each has a run of its own."""
    if request.param == "sqlite":
        opened = open_store(tmp_path_factory.mktemp("properties") / "runs.db")
    else:
        opened = open_store(request.getfixturevalue("postgres").fresh_url())
    yield opened
    opened.close()


@st.composite
def map_batches(draw):
    """Batches of two maps, fused or apart, that overlap as they like."""
    width = draw(st.sampled_from([(1,), (2,), (1, 2), (2, 1)]))
    start = draw(st.integers(0, 12))
    states = draw(st.lists(codes, min_size=1, max_size=9))
    attempts = draw(st.none() | st.lists(st.integers(1, 4), min_size=9, max_size=9))
    return width, start, states, attempts and attempts[: len(states)]


@st.composite
def call_batches(draw):
    nodes = draw(st.lists(st.integers(0, 6), min_size=1, max_size=5, unique=True))
    states = draw(st.lists(codes, min_size=len(nodes), max_size=len(nodes)))
    attempts = draw(
        st.none() | st.lists(st.integers(1, 4), min_size=len(nodes), max_size=len(nodes))
    )
    return nodes, states, attempts


def outcome(batches) -> dict[tuple[int, int], int]:
    """The rule itself, call by call: the last written."""
    last: dict[tuple[int, int], int] = {}
    for batch in batches:
        if len(batch) == 3:
            nodes, states, _ = batch
            places = [(node, 0) for node in nodes]
        else:
            stages, start, states, _ = batch
            places = [
                (stages[p % len(stages)], start + p // len(stages)) for p in range(len(states))
            ]
        last.update(zip(places, states, strict=True))
    return last


def record_of(run_id: str, batch) -> BatchRecord:
    return call_batch(run_id, *batch) if len(batch) == 3 else map_batch(run_id, *batch)


def check(store: RunStore, run_id: str, expected: dict[tuple[int, int], int]) -> None:
    by_node: dict[int, Counter] = {}
    for (node, _), code in expected.items():
        by_node.setdefault(node, Counter())[code] += 1
    for each in store.nodes(run_id):
        assert dict(each.codes) == by_node.get(each.node, {})
    for (node, index), code in expected.items():
        assert store.element(run_id, node, index).state.code == code
    for code in StateCode:
        among = sorted(place for place, found in expected.items() if found == code)
        assert sorted(store.elements_in(run_id, (code,))) == among
    failing = sorted(place for place, code in expected.items() if code in FAILING)
    assert [(failure.node, failure.index) for failure in store.failures(run_id)] == failing


@QUICK
@given(st.lists(map_batches() | call_batches(), max_size=8), st.data())
def test_any_batches_come_to_what_the_rule_says(shared, batches, data):
    run_id = fresh_run_id()
    shared.write([node_record(run_id, node, length=99) for node in range(7)])
    records = [record_of(run_id, batch) for batch in batches]
    while records:
        size = data.draw(st.integers(1, len(records)))
        shared.write(records[:size])
        del records[:size]
    check(shared, run_id, outcome(batches))


@QUICK
@given(st.lists(codes, min_size=1, max_size=40), st.integers(1, 3), st.data())
def test_how_calls_are_cut_into_batches_does_not_matter(shared, states, width, data):
    run_id = fresh_run_id()
    stages = tuple(range(width))
    elements = -(-len(states) // width)
    cuts = sorted(data.draw(st.sets(st.integers(1, elements), max_size=6)) | {0, elements})
    records: list = [node_record(run_id, node, length=elements) for node in stages]
    records += [
        map_batch(run_id, stages, start, states[start * width : stop * width])
        for start, stop in itertools.pairwise(cuts)
    ]
    shared.write(data.draw(st.permutations(records)))
    check(shared, run_id, outcome([(stages, 0, states, None)]))


@QUICK
@given(
    st.lists(
        st.tuples(st.integers(0, 50), codes), min_size=1, max_size=30, unique_by=lambda e: e[0]
    ),
    st.integers(1, 30),
)
def test_how_single_calls_are_cut_does_not_matter(shared, calls, size):
    run_id = fresh_run_id()
    records: list = [node_record(run_id, node, kind="task", length=1) for node, _ in calls]
    for start in range(0, len(calls), size):
        nodes, states = zip(*calls[start : start + size], strict=True)
        records.append(call_batch(run_id, nodes, states))
    shared.write(records)
    check(shared, run_id, {(node, 0): code for node, code in calls})


nodes = st.builds(
    NodeRecord,
    run_id=st.sampled_from(["a", "b"]),
    node=st.integers(0, 2**40),
    kind=st.sampled_from(["task", "map", "flow", "call"]),
    key=st.text(max_size=8),
    task_name=st.text(st.characters(), max_size=8),
    name=st.text(max_size=8),
    length=st.none() | st.integers(0, 2**40),
    upstream=st.lists(st.integers(0, 99), max_size=3).map(tuple),
    order=st.lists(st.integers(0, 99), max_size=3).map(tuple),
    tags=st.lists(st.text(max_size=3), max_size=2).map(tuple),
    created_ns=st.integers(0, 2**62),
    child_run_id=st.none() | st.text(max_size=4),
)
changes = st.builds(
    NodeLengthRecord,
    run_id=st.sampled_from(["a", "b"]),
    node=st.integers(0, 3),
    length=st.none() | st.integers(0, 99),
    child_run_id=st.none() | st.text(max_size=4),
)


@QUICK
@given(st.lists(nodes, max_size=20, unique_by=lambda each: (each.run_id, each.node)))
def test_nodes_survive_packing(records):
    for run_id in ("a", "b"):
        chunks = [chunk[-1] for chunk in chunk_nodes(records) if chunk[0] == run_id]
        expected = {
            each.node: tuple(getattr(each, name) for name in FIELDS)
            for each in records
            if each.run_id == run_id
        }
        assert apply_chunks(chunks) == expected


@QUICK
@given(st.lists(changes, max_size=12))
def test_changes_of_nodes_are_applied_in_order(records):
    begin = [node_record("a", node, length=None) for node in range(4)]
    expected = dict.fromkeys(range(4), (None, None))
    for each in records:
        if each.run_id == "a":
            length, child = expected[each.node]
            expected[each.node] = (
                length if each.length is None else each.length,
                child if each.child_run_id is None else each.child_run_id,
            )
    chunks = [chunk[-1] for chunk in chunk_nodes([*begin, *records]) if chunk[0] == "a"]
    places = FIELDS.index("length"), FIELDS.index("child_run_id")
    found = apply_chunks(chunks)
    assert {node: (found[node][places[0]], found[node][places[1]]) for node in found} == expected


def claims(store: RunStore, run_id: str, hooks: int):
    """Calls all hooks that are due, one at a step: those that somebody else has not called."""
    for left in store.control.due_hooks(run_id):
        rest: DueHooksRecord | None = left
        while rest is not None:
            due, rest = rest, rest.after_next(hooks)
            is_mine = store.control.claim_hook(due, rest)
            yield (due.number, due.start, due.called) if is_mine else None


@QUICK
@given(
    st.lists(st.tuples(st.integers(-1, 3), st.integers(1, 4)), max_size=4),
    st.integers(1, 3),
    st.lists(st.tuples(st.integers(0, 1), st.integers(1, 9)), max_size=12),
)
def test_due_hooks_are_claimed_once_whoever_is_killed_when(shared, ranges, hooks, turns):
    run_id = fresh_run_id()
    shared.write(
        [
            DueHooksRecord(run_id, number, 0, start, start + count, StateCode.COMPLETED, 1)
            for number, (start, count) in enumerate(ranges)
        ]
    )
    callers = [claims(shared, run_id, hooks) for _ in range(2)]
    found = [each for at, steps in turns for each in itertools.islice(callers[at], steps)]
    found += claims(shared, run_id, hooks)  # both were killed
    assert sorted(each for each in found if each is not None) == [
        (number, element, hook)
        for number, (start, count) in enumerate(ranges)
        for element in range(start, start + count)
        for hook in range(hooks)
    ]
    assert shared.control.due_hooks(run_id) == []


@given(
    st.lists(st.integers(0, 2**50), min_size=1, max_size=12),
    st.none() | st.integers(0, 2**50),
    st.integers(-(2**50), 2**50),
    st.integers(1, 3),
)
def test_positions_and_times_agree(ended, together, offset, width):
    started = None if together is None else array("q", [together] * len(ended)).tobytes()
    calls = BatchCalls(
        batch=1,
        stages=tuple(range(width)),
        nodes=None,
        states=bytes(len(ended)),
        attempts=None,
        start=5,
        worker="w",
        clock_offset_ns=offset,
        first_started_ns=7,
        started=started,
        ended=array("q", ended).tobytes(),
    )
    begins, ends = calls.times()
    for position in range(len(ended)):
        assert calls.position_of(position % width, 5 + position // width) == position
        assert calls.started_at(position) == begins[position] + offset
        assert calls.ended_at(position) == ends[position] + offset
    assert calls.position_of(0, 5 + len(ended)) is None
    assert calls.position_of(0, 4) is None
    assert calls.position_of(width, 5) is None
