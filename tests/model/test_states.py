"""States: names, codes, what may follow what."""

from __future__ import annotations

import copy
import pickle
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataflow.errors import (
    CancelledRun,
    CrashedRun,
    FailedRun,
    InvalidTransition,
    PausedRun,
    RunError,
    UpstreamTaskError,
)
from dataflow.model import states
from dataflow.model.states import (
    ENDED,
    FINAL_TYPES,
    SUCCESSFUL,
    TRANSITIONS,
    State,
    StateCode,
    StateType,
    check_transition,
    code_of,
)

QUICK = settings(max_examples=50, deadline=None)

CONSTRUCTORS = {
    "Scheduled": StateType.SCHEDULED,
    "Pending": StateType.PENDING,
    "Running": StateType.RUNNING,
    "Retrying": StateType.RUNNING,
    "AwaitingRetry": StateType.SCHEDULED,
    "Paused": StateType.PAUSED,
    "Suspended": StateType.PAUSED,
    "Cancelling": StateType.CANCELLING,
    "Completed": StateType.COMPLETED,
    "Cached": StateType.COMPLETED,
    "Failed": StateType.FAILED,
    "TimedOut": StateType.FAILED,
    "Crashed": StateType.CRASHED,
    "Cancelled": StateType.CANCELLED,
}
NUMBERS = """
PENDING NOT_READY SUBMITTING RUNNING RETRYING AWAITING_RETRY COMPLETED CACHED SKIPPED ROLLED_BACK
FAILED TIMED_OUT CRASHED CANCELLED CANCELLING PAUSED SUSPENDED SCHEDULED LATE
AWAITING_CONCURRENCY_SLOT RESUMING
""".split()
codes = st.sampled_from(list(StateCode))


@pytest.mark.parametrize("name", CONSTRUCTORS)
def test_constructors(name):
    state = getattr(states, name)("said", data=3)
    assert (state.type, state.name) == (CONSTRUCTORS[name], name)
    assert (state.message, state.data) == ("said", 3)
    assert state.is_final() == (state.type in FINAL_TYPES)
    assert state.code.type is state.type
    assert state.code.state_name == name
    assert getattr(states, name)(name="Mine").name == "Mine"
    assert repr(getattr(states, name)()).startswith(f"{name}(")


def test_numbers_in_stores_never_change():
    assert [code.name for code in sorted(StateCode)] == NUMBERS
    assert [int(code) for code in StateCode] == list(range(len(NUMBERS)))


@pytest.mark.parametrize("code", StateCode)
def test_a_code_is_a_type_and_a_name(code):
    assert code_of(code.type, code.state_name) is code
    assert State.of_code(code).code is code
    assert code_of(code.type, "a name of the user's").type is code.type
    assert code.is_final == (code.type in FINAL_TYPES)
    assert (code in ENDED) == (code.is_final or code is StateCode.NOT_READY)
    assert code.is_ended == (code in ENDED)
    assert StateType(code.type.value) is code.type


def test_a_name_of_another_type_does_not_count():
    assert code_of(StateType.FAILED, "Cached") is StateCode.FAILED
    assert State(StateType.COMPLETED, "NotReady").code is StateCode.COMPLETED


def test_exactly_one_question_is_answered_with_yes():
    questions = "scheduled pending running paused cancelling completed failed crashed cancelled"
    for kind in StateType:
        state: State[Any] = State(kind)
        answers = [name for name in questions.split() if getattr(state, f"is_{name}")()]
        assert answers == [kind.value.lower()]


def test_states_do_not_change():
    state = states.Completed()
    for name in ("type", "name", "message", "data", "timestamp", "other"):
        with pytest.raises(AttributeError):
            setattr(state, name, 1)


@pytest.mark.parametrize("name", ["type", "name", "message", "data", "_timestamp"])
def test_nothing_can_be_deleted_from_a_state(name):
    state = states.Completed(data=1)
    with pytest.raises(AttributeError, match="cannot be changed"):
        delattr(state, name)
    assert state == states.Completed(data=1)


class Unwilling:
    """Neither to be compared nor to be shown."""

    def __eq__(self, other):
        raise RuntimeError("no")

    def __hash__(self):
        return 0

    def __repr__(self):
        raise RuntimeError("no")


@pytest.mark.parametrize(
    "value", [np.arange(3), pd.DataFrame({"a": [1, 2]}), pd.Series([1, 2]), Unwilling()], ids=type
)
def test_data_that_cannot_say_whether_it_is_equal(value):
    state, other = states.Completed(data=value), states.Completed(data=copy.copy(value))
    assert state == states.Completed(data=value)
    assert state != other
    assert other not in [state]
    assert hash(state) == hash(other)


def test_timestamps_are_aware():
    before = datetime.now(UTC)
    state = states.Running()
    assert state.timestamp.utcoffset() == timedelta(0)
    assert before - timedelta(seconds=1) <= state.timestamp <= datetime.now(UTC)
    given = datetime(2024, 1, 1, tzinfo=UTC)
    assert State(StateType.RUNNING, timestamp=given).timestamp == given


@QUICK
@given(codes, st.none() | st.text(), st.integers() | st.lists(st.text()), st.none() | st.text())
def test_states_travel_and_are_equal(code, message, data, name):
    state = State.of_code(code, message=message, data=data, name=name)
    for again in (pickle.loads(pickle.dumps(state)), copy.copy(state), copy.deepcopy(state)):
        assert again == state
        assert hash(again) == hash(state)
        assert again.timestamp == state.timestamp
        assert type(again) is State
    assert state != State.of_code(code, message="another", data=data, name=name)
    assert state != 3


def test_the_type_may_be_given_as_text():
    assert State("FAILED").is_failed()  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="NOPE"):
        State("NOPE")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("state", "kind"),
    [
        (states.Failed("why"), FailedRun),
        (states.TimedOut("why"), FailedRun),
        (states.Crashed("why"), CrashedRun),
        (states.Cancelled("why"), CancelledRun),
        (states.Cancelling("why"), CancelledRun),
        (states.Paused("why"), PausedRun),
        (states.Pending("why"), RunError),
        (State.of_code(StateCode.NOT_READY, message="why"), UpstreamTaskError),
    ],
    ids=repr,
)
def test_result_of_a_state_without_an_exception(state, kind):
    with pytest.raises(kind, match="why") as caught:
        state.result()
    assert type(caught.value) is kind
    assert state.name in str(caught.value)
    assert isinstance(state.result(raise_on_failure=False), kind)


def test_result_of_a_state():
    error = ValueError("x")
    assert states.Completed(data=[1]).result() == [1]
    assert states.Completed(data=error).result() is error
    assert states.Failed(data=error).result(raise_on_failure=False) is error
    with pytest.raises(ValueError, match="x"):
        states.Failed(data=error).result()
    assert isinstance(states.Failed(data="text").result(raise_on_failure=False), FailedRun)


def test_repr_is_short():
    assert repr(states.Completed()) == "Completed()"
    assert repr(states.Cached("m")) == "Cached(type=COMPLETED, message='m')"
    assert repr(states.Completed(data={"b": [1, 2], "a": None})).count("[1, 2]") == 1
    for data in ("x" * 1000, list(range(10**6)), pd.DataFrame({"a": range(100)}), Unwilling()):
        text = repr(states.Completed(data=data))
        assert len(text) < 120
        assert "\n" not in text
        assert text.startswith("Completed(data=")


PATHS = [
    "PENDING RUNNING COMPLETED",
    "PENDING RUNNING AWAITING_RETRY RETRYING COMPLETED",
    "PENDING RUNNING RETRYING FAILED",
    "PENDING NOT_READY",
    "PENDING CACHED",
    "SCHEDULED LATE PENDING SUBMITTING RUNNING CRASHED",
    "SCHEDULED PENDING RUNNING PAUSED RUNNING COMPLETED",
    "PENDING RUNNING SUSPENDED RESUMING PENDING RUNNING COMPLETED",
    "RUNNING CANCELLING CANCELLED",
    "RUNNING CANCELLING TIMED_OUT",
    "RUNNING CANCELLING CACHED",
    "PENDING AWAITING_CONCURRENCY_SLOT PENDING RUNNING TIMED_OUT",
    "COMPLETED ROLLED_BACK",
    "PENDING RUNNING ROLLED_BACK",
    "RUNNING FAILED AWAITING_RETRY RETRYING COMPLETED",
    "RUNNING COMPLETED RESUMING RUNNING COMPLETED",
]


@pytest.mark.parametrize("path", PATHS)
def test_paths_that_runs_take(path):
    before = None
    for name in path.split():
        check_transition(before, StateCode[name])
        before = StateCode[name]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("COMPLETED", "RUNNING"),
        ("COMPLETED", "FAILED"),
        ("ROLLED_BACK", "PENDING"),
        ("CANCELLED", "RUNNING"),
        ("NOT_READY", "COMPLETED"),
        ("RUNNING", "PENDING"),
        ("CANCELLING", "RUNNING"),
    ],
)
def test_what_cannot_follow_is_refused(before, after):
    with pytest.raises(InvalidTransition, match=StateCode[before].state_name) as caught:
        check_transition(StateCode[before], StateCode[after])
    assert "comes" in str(caught.value.hint)


@QUICK
@given(codes)
def test_every_code_has_a_row(code):
    check_transition(None, code)
    assert all(isinstance(after, StateCode) for after in TRANSITIONS[code])
    if code in SUCCESSFUL:
        assert TRANSITIONS[code] <= {StateCode.ROLLED_BACK, StateCode.RESUMING}


@QUICK
@given(codes, codes)
def test_a_transition_is_in_the_table_or_refused(before, after):
    if after in TRANSITIONS[before]:
        check_transition(before, after)
        return
    with pytest.raises(InvalidTransition) as caught:
        check_transition(before, after)
    assert f"from {before.state_name} to {after.state_name}" in caught.value.message
    assert pickle.loads(pickle.dumps(caught.value)).hint == caught.value.hint


@pytest.mark.parametrize("before", ["RUNNING", "RETRYING"])
def test_work_can_end_in_every_way(before):
    assert TRANSITIONS[StateCode[before]] >= ENDED


@QUICK
@given(codes)
def test_every_run_can_end(code):
    reached, new = {code}, {code}
    while new:
        new = {after for each in new for after in TRANSITIONS[each]} - reached
        reached |= new
    assert reached & ENDED


@QUICK
@given(codes)
def test_whatever_has_not_ended_can_crash_or_be_cancelled(code):
    if code not in ENDED:
        assert {StateCode.CRASHED, StateCode.CANCELLED} <= TRANSITIONS[code]


alike = st.integers(0, 50).map(lambda count: [6] * count)


@given(alike | st.lists(st.sampled_from([0, 6, 11]), max_size=50))
def test_counting(codes: list[int]) -> None:
    for column in (bytes(codes), bytearray(codes)):
        assert states.count_states(column) == Counter(codes)


@given(alike | st.lists(st.sampled_from([0, 6, 11]), max_size=50), st.integers(1, 4), st.data())
def test_the_codes_of_a_stage(codes: list[int], width: int, data: st.DataObject) -> None:
    number = data.draw(st.integers(0, width - 1))
    assert states.codes_of_stage(bytes(codes), number, width) == bytes(codes)[number::width]
