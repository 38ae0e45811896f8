"""Options of tasks and flows that cannot be are refused when these are declared."""

from __future__ import annotations

from fractions import Fraction

import numpy
import pytest

from dataflow import flow, task
from dataflow.errors import DefinitionError


def nothing(x=1):
    return x


@pytest.mark.parametrize("decorate", [task, flow])
@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"timeout_seconds": 0}, "timeout_seconds must be a number, more than 0, not 0"),
        ({"timeout_seconds": -1}, "more than 0, not -1"),
        ({"timeout_seconds": "5"}, "more than 0, not '5'"),
        ({"timeout_seconds": float("nan")}, "more than 0, not nan"),
        ({"timeout_seconds": float("inf")}, "more than 0, not inf"),
        ({"retries": -1}, "retries must be 0 or more, not -1"),
        ({"retries": 1.5}, "retries must be a whole number, not 1.5"),
        ({"retry_delay_seconds": -1}, "retry_delay_seconds must be 0 or more"),
        ({"tags": "nightly"}, "a list of strings, not the string 'nightly'"),
        ({"tags": [1]}, r"a list of strings, not \[1\]"),
        ({"tags": 5}, "a list of strings, not 5"),
        ({"name": 5}, "must be text, not 5"),
        ({"on_failure": nothing}, "on_failure must be a list of functions"),
        ({"on_running": [nothing, "x"]}, "on_running must be a list of functions"),
        ({"cache_result_in_memry": True}, "has no option 'cache_result_in_memry'"),
    ],
)
def test_what_cannot_be_is_refused(decorate, options, said):
    with pytest.raises((DefinitionError, ValueError, TypeError), match=said):
        decorate(**options)(nothing)
    with pytest.raises((DefinitionError, ValueError, TypeError), match=said):
        decorate(nothing).with_options(**options)


@pytest.mark.parametrize("size", [0, -1, 1.5, "2"])
def test_a_batch_has_at_least_one_element(size):
    with pytest.raises(DefinitionError, match="batch_size must be a whole number, more than 0"):
        task(batch_size=size)(nothing)


@pytest.mark.parametrize("seconds", [3, 0.5, numpy.float64(2), numpy.int64(2), Fraction(1, 2)])
def test_a_time_limit_may_be_any_number(seconds):
    assert task(timeout_seconds=seconds)(nothing).timeout_seconds == float(seconds)
