"""Parameters as a schema describes them."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable
from datetime import date

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataflow.model.parameter_schema import docstring_parameters, parameters_schema
from dataflow.model.parameters import (
    Parameter,
)
from tests.model.parameter_samples import Client, Config

QUICK = settings(max_examples=50, deadline=None)


def described(day: date, config: Config, client: Client, top: int = 3, *rest: int, **more: str):
    """Does things.

    Args:
        day: the day: all of it,
            to its end.
        top (int, optional): how many
        *rest: others

    Returns:
        nothing: at all
    """


def test_schema_of_a_flow():
    schema = parameters_schema(described)
    json.dumps(schema)
    assert schema["title"] == "Parameters"
    assert schema["type"] == "object"
    assert schema["required"] == ["day", "config", "client"]
    properties = schema["properties"]
    assert properties["day"] == {
        "title": "day",
        "position": 0,
        "type": "string",
        "format": "date",
        "description": "the day: all of it, to its end.",
    }
    assert properties["config"]["$ref"] == "#/definitions/Config"
    assert schema["definitions"]["Config"]["properties"]["depth"]["default"] == 1
    assert properties["client"] == {"title": "client", "position": 2}
    assert properties["top"]["default"] == 3
    assert properties["top"]["description"] == "how many"
    assert properties["rest"]["items"] == {"type": "integer"}
    assert properties["more"]["additionalProperties"] == {"type": "string"}


def test_schema_of_nothing():
    assert parameters_schema(lambda: None) == {
        "title": "Parameters",
        "type": "object",
        "properties": {},
    }


def test_schema_with_what_json_does_not_know():
    def run(frame: pd.DataFrame = pd.DataFrame(), fn: Callable[[], int] = int, x=Client):  # noqa: B008
        pass

    schema = parameters_schema(run)
    json.dumps(schema)
    assert list(schema["properties"]) == ["frame", "fn", "x"]


def test_schema_has_choices_and_bounds():
    def run(a: str = Parameter("x", choices=["x", "y"]), b: int = Parameter(1, ge=0, le=5)):
        pass

    properties = parameters_schema(run)["properties"]
    assert properties["a"]["enum"] == ["x", "y"]
    assert (properties["b"]["minimum"], properties["b"]["maximum"]) == (0, 5)


NUMPY = """
Parameters
----------
day : date
    The day,
    all of it.
a, b : int
    Two numbers.

Returns
-------
value : int
    Not a parameter.
"""
SPHINX = """
Text.

:param date day: The day,
    all of it.
:param a: Two numbers.
:param b: Two numbers.
:returns: nothing
"""
GOOGLE = """Text.

Args:
  day (date): The day,
    all: of it.
  a: Two numbers.
  b:
    Two numbers.

Raises:
  ValueError: never
"""


@pytest.mark.parametrize("text", [NUMPY, SPHINX, GOOGLE], ids=["numpy", "sphinx", "google"])
def test_docstrings(text):
    found = docstring_parameters(inspect.cleandoc(text))
    day = found.pop("day").replace("all:", "all")
    assert day == "The day, all of it."
    assert found == {"a": "Two numbers.", "b": "Two numbers."}


@QUICK
@given(st.lists(st.sampled_from([*NUMPY.splitlines(), *SPHINX.splitlines(), *GOOGLE.splitlines()])))
def test_any_docstring_can_be_read(lines):
    docstring = "\n".join(lines)
    found = docstring_parameters(docstring)
    assert all(name and name in docstring for name in found)
    words = set(docstring.replace(":", " : ").split())
    assert all(set(text.replace(":", " : ").split()) <= words for text in found.values())
