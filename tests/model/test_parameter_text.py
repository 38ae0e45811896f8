"""Parameters as text: JSON for people, and what a command line gives."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import SecretStr

from dataflow.model.parameter_text import CONVERTED as CHANGED
from dataflow.model.parameter_text import (
    CUT,
    NOT_AS_GIVEN,
    not_as_given,
    parameters_to_json,
    parse_parameter,
    short_text,
    shown_parameters,
)
from tests.model.parameter_samples import Colour, Config, Window

QUICK = settings(max_examples=50, deadline=None)


class Rude:
    def __repr__(self):
        raise RuntimeError("no")

    def __eq__(self, other):
        raise RuntimeError("no")

    __hash__ = None  # type: ignore[assignment]


def as_json(**parameters: Any) -> Any:
    text = parameters_to_json(parameters)
    json.loads(text, parse_constant=pytest.fail)
    return shown_parameters(text)


def test_parameters_as_json():
    found = as_json(
        n=1,
        text="x",
        none=None,
        day=date(2024, 1, 1),
        path=Path("a/b"),
        colour=Colour.RED,
        config=Config(),
        window=Window(date(2024, 1, 1)),
        items=(1, {2}),
        table={1: "a", date(2024, 1, 1): "b"},
        number=np.float64(1.5),
        bad=float("nan"),
        secret=SecretStr("hidden"),
    )
    assert found == {
        "n": 1,
        "text": "x",
        "none": None,
        "day": "2024-01-01",
        "path": "a/b",
        "colour": "red",
        "config": {"depth": 1, "colour": "red"},
        "window": {"start": "2024-01-01", "days": 1},
        "items": [1, [2]],
        "table": {"1": "a", "2024-01-01": "b"},
        "number": 1.5,
        "bad": "nan",
        "secret": "SecretStr('**********')",
    }


def test_what_cannot_be_shown_is_named():
    loop: list[Any] = []
    loop.append(loop)
    found = as_json(rude=Rude(), rudest={"x": [Rude()]}, loop=loop, huge=10**5000, lock=len)
    assert "Rude" in found["rude"]
    assert found["huge"].startswith("<int of")
    assert found["lock"] == "<built-in function len>"


def test_of_large_parameters_no_more_is_looked_at_than_is_shown():
    looked_at = []

    class Item:
        def __repr__(self) -> str:
            looked_at.append(self)
            return "item"

    text = parameters_to_json(
        {
            "many": list(range(2_000_000)),
            "long": "x" * 10_000_000,
            "texts": ["y" * 5_000] * 1_000,
            "array": np.ones((2000, 2000)),
            "table": dict.fromkeys(range(100000), "z" * 300),
        }
    )
    assert "item" in parameters_to_json({"items": [Item() for _ in range(100_000)]})
    assert 0 < len(looked_at) <= 2_000
    assert len(text) < 66_000
    assert shown_parameters(text).keys() == {"many", "long", "texts", "array", "table"}
    assert as_json(many=list(range(5000)))["many"][-1] == "… 4,001 more"


@QUICK
@given(
    st.dictionaries(
        st.text(),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
            lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
            max_leaves=20,
        ),
    )
)
def test_json_is_always_valid(parameters):
    found = json.loads(parameters_to_json(parameters), parse_constant=pytest.fail)
    assert found.keys() - {NOT_AS_GIVEN} == parameters.keys()


def test_thousands_of_parameters_are_cut_too():
    text = parameters_to_json({f"name{number}": "é" * 300 for number in range(2_000)})
    assert len(text) < 70_000


@pytest.mark.parametrize(
    ("value", "how"),
    [
        (1, None),
        (0.1, None),
        ("x" * 4000, None),
        ([{"a": [None, True, 2**4000]}, []], None),
        (date(2024, 1, 1), CHANGED),
        (Path("a"), CHANGED),
        (Colour.RED, CHANGED),
        ((1, 2), CHANGED),
        ([(1, 2)], CHANGED),
        ({1: "a"}, CHANGED),
        (Config(), CHANGED),
        (np.float64(1.5), CHANGED),
        ("x" * 4001, CUT),
        ([["x" * 4001]], CUT),
        (list(range(1000)), CUT),
        ({"a": {str(number): 1 for number in range(2000)}}, CUT),
        (float("nan"), CUT),
        pytest.param(10**5000, CUT, id="huge"),
        (b"x", CUT),
        (SecretStr("hidden"), CUT),
        (Rude(), CUT),
        (["y" * 4000] * 20, CUT),
    ],
)
def test_what_is_not_as_it_was_given_is_marked(value, how):
    text = parameters_to_json({"before": 1, "value": value, "after": "x"})
    marked = not_as_given(text)
    assert marked.pop("value", None) == how
    assert not marked or "y" * 4000 in str(value)  # all of them are cut then
    if how is None:
        assert shown_parameters(text)["value"] == value


def test_short_text_is_one_line():
    assert short_text(pd.DataFrame({"a": [1]})) == "a 0 1"
    assert len(short_text("x" * 1000)) <= 200
    assert short_text([1, 2]) == "[1, 2]"
    assert "Rude" in short_text(Rude())


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("3", 3),
        ("3.5", 3.5),
        ("true", True),
        ("null", None),
        ('"3"', "3"),
        ("[1, 2]", [1, 2]),
        ('{"a": 1}', {"a": 1}),
        ("2024-01-01", "2024-01-01"),
        ("plain text", "plain text"),
        ("", ""),
        ("NaN", "NaN"),
        ("True", "True"),
        ("[" * 100_000, "[" * 100_000),
        ("9" * 5000, "9" * 5000),
    ],
    ids=lambda value: str(value)[:20],
)
def test_texts_of_a_command_line(text, value):
    assert parse_parameter(text) == value
