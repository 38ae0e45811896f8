"""Parameters: bound to what a call is given."""

from __future__ import annotations

import inspect
import pickle
import re
import threading
from typing import Annotated

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import Field

from dataflow.errors import ParameterBindError, ParameterTypeError
from dataflow.model.parameters import (
    Parameter,
    bind_parameters,
    call_arguments,
)
from tests.model.parameter_samples import bind, convert

QUICK = settings(max_examples=50, deadline=None)


def every_kind(a, /, b, *rest, c, d=4, **more):
    return a, b, rest, c, d, more


def two(first, second=2):
    return first, second


def test_every_kind_of_parameter_has_a_value_by_name():
    assert bind(every_kind, 1, 2, 3, 4, c=5, e=6) == {
        "a": 1,
        "b": 2,
        "rest": (3, 4),
        "c": 5,
        "d": 4,
        "more": {"e": 6},
    }
    assert bind(every_kind, 1, b=2, c=3, a=9)["more"] == {"a": 9}


@QUICK
@given(
    st.integers(0, 6),
    st.dictionaries(st.sampled_from("a b c d e rest more self name".split()), st.integers()),
)
def test_binding_and_calling_agree_with_the_language(count, kwargs):
    args = tuple(range(count))
    try:
        expected = every_kind(*args, **kwargs)
    except TypeError:
        with pytest.raises(ParameterBindError):
            bind(every_kind, *args, **kwargs)
        return
    parameters = bind(every_kind, *args, **kwargs)
    again, named = call_arguments(inspect.signature(every_kind), parameters)
    assert every_kind(*again, **named) == expected
    assert tuple(parameters.values()) == expected


@pytest.mark.parametrize(
    ("args", "kwargs", "said"),
    [
        ((), {}, "Flow 'two' needs 'first'."),
        ((1,), {"secnod": 3}, "Flow 'two' has no parameter 'secnod'."),
        ((), {"frist": 3}, "has no parameter 'frist' and needs 'first'"),
        ((1, 2, 3), {}, "takes 2 positional, not 3"),
        ((1,), {"first": 1}, "multiple values for argument 'first'"),
    ],
)
def test_a_call_that_does_not_fit_is_told_what_is_wrong(args, kwargs, said):
    with pytest.raises(ParameterBindError, match=re.escape(said)) as caught:
        bind(two, *args, **kwargs)
    assert isinstance(caught.value, TypeError)
    assert pickle.loads(pickle.dumps(caught.value)).message == caught.value.message


def test_a_name_that_is_nearly_right_is_suggested():
    with pytest.raises(ParameterBindError) as caught:
        bind(two, 1, secnod=3)
    assert caught.value.hint == "Did you mean 'second' instead of 'secnod'?"


def test_a_name_caught_by_keywords_is_suggested_too():
    def run(day, **more):
        pass

    with pytest.raises(ParameterBindError) as caught:
        bind(run, dya=3)
    assert caught.value.hint == "Did you mean 'day' instead of 'dya'?"


def test_the_owner_keeps_its_capitals():
    with pytest.raises(ParameterBindError, match=r"^Flow 'ETL-Main' needs"):
        bind_parameters("flow 'ETL-Main'", inspect.signature(two), (), {})


def test_default_containers_are_fresh_for_each_call():
    client = threading.Lock()

    def run(items=[1, [2]], table={"a": [1], "client": client}, names={"x"}):  # noqa: B006
        pass

    first, second = bind(run), bind(run)
    first["items"][1].append(3)
    first["table"]["a"].append(2)
    first["names"].add("y")
    assert second == {
        "items": [1, [2]],
        "table": {"a": [1], "client": client},
        "names": {"x"},
    }
    assert bind(run) == second


def test_parameter_gives_the_default_or_makes_it_required():
    def run(a=Parameter(description="needed"), b=Parameter(3), c: Annotated[int, "x"] = 4):
        pass

    assert bind(run, 1) == {"a": 1, "b": 3, "c": 4}
    with pytest.raises(ParameterBindError, match="needs 'a'") as caught:
        bind(run)
    assert caught.value.hint == "It takes a, b=3, c=4."


def test_a_field_of_pydantic_is_a_default_too():
    def run(a: int = Field(..., ge=1), b: int = Field(3, ge=1), c: list = Field([])):  # noqa: B008
        pass

    assert convert(run, "2") == {"a": 2, "b": 3, "c": []}
    with pytest.raises(ParameterBindError, match="needs 'a'"):
        bind(run)
    with pytest.raises(ParameterTypeError, match="greater than or equal to 1"):
        convert(run, 0)


def test_what_follows_a_gap_is_named():
    assert call_arguments(inspect.signature(two), {"second": 5}) == ((), {"second": 5})
