"""Arguments are bound as Python binds them, whichever Python that is."""

from __future__ import annotations

import inspect
from typing import Any

import pytest

from dataflow.model.functions import bind
from dataflow.model.parameters import bind_parameters


def many(first: int = 0, /, second: int = 1, **named: int) -> None:
    """A parameter before the slash has a name that ``named`` may take as well."""


def needed(first: int, /, **named: int) -> None:
    """The same, without a default."""


@pytest.mark.parametrize(
    ("args", "kwargs", "found"),
    [
        ((), {"first": 5}, {"named": {"first": 5}}),
        ((1,), {"third": 3, "first": 5}, {"first": 1, "named": {"third": 3, "first": 5}}),
        ((), {"second": 2}, {"second": 2}),
        ((1, 2), {}, {"first": 1, "second": 2}),
    ],
)
def test_a_name_before_the_slash_may_be_another_argument(
    args: tuple[int, ...], kwargs: dict[str, int], found: dict[str, Any]
) -> None:
    bound = bind(inspect.signature(many), args, kwargs)
    assert dict(bound.arguments) == found
    many(*bound.args, **bound.kwargs)
    parameters = bind_parameters("flow 'many'", inspect.signature(many), args, kwargs)
    assert parameters == {"first": 0, "second": 1, "named": {}, **found}
    assert list(parameters["named"]) == [name for name in kwargs if name != "second"]


def test_it_does_not_stand_for_the_parameter_that_has_no_default() -> None:
    with pytest.raises(TypeError, match="first"):
        bind(inspect.signature(needed), (), {"first": 5})
    bound = bind(inspect.signature(needed), (), {"first": 5}, is_partial=True)
    assert dict(bound.arguments) == {"named": {"first": 5}}
