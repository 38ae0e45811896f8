"""Parameters are converted to the types that a flow declares, or refused."""

from __future__ import annotations

import collections
import enum
import functools
import inspect
import logging
import pickle
import re
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, NewType, Optional, Protocol

import numpy as np
import pandas as pd
import pytest
from pydantic import BaseModel, PositiveInt
from typing_extensions import TypedDict

from dataflow.errors import DefinitionError, ParameterTypeError
from dataflow.model import parameter_types
from dataflow.model.parameter_schema import parameters_schema
from dataflow.model.parameter_types import validate_parameters
from dataflow.model.parameters import (
    Parameter,
)
from tests.model.parameter_samples import Client, Colour, Config, Window, bind, convert


@dataclass
class Holder:
    frame: pd.DataFrame


class Pair(NamedTuple):
    left: Any
    right: Any


class Stack(list[int]):
    """A list of one's own."""


class Shade(enum.StrEnum):
    LIGHT = "light"


class Level(enum.IntEnum):
    HIGH = 3


class Walks(Protocol):
    def walk(self) -> None: ...


class Options(TypedDict, total=False):
    depth: int


UserId = NewType("UserId", int)

CONVERTED: list[tuple[Any, Any, Any]] = [
    (date, "2024-02-29", date(2024, 2, 29)),
    (datetime | None, "2024-01-01T10:00:00", datetime(2024, 1, 1, 10)),  # noqa: DTZ001
    (Optional[datetime], None, None),  # noqa: UP045
    (int, "3", 3),
    (float, 3, 3.0),
    (bool, "true", True),
    (Path, "a/b", Path("a/b")),
    (list[int], ["1", 2], [1, 2]),
    (dict[str, float], {"a": "1.5"}, {"a": 1.5}),
    (tuple[int, ...], ["1"], (1,)),
    (Literal["a", "b"], "a", "a"),
    (Colour, "red", Colour.RED),
    (PositiveInt, "7", 7),
    (Config, {"depth": "2", "colour": "blue"}, Config(depth=2, colour=Colour.BLUE)),
    (list[Config], [{"depth": 4}], [Config(depth=4)]),
    (Window, {"start": "2024-01-01"}, Window(date(2024, 1, 1))),
    (Options, {"depth": "3"}, {"depth": 3}),
    (UserId, "3", 3),
    (int | str, "3", "3"),
    (Any, object, object),
    (object, "3", "3"),
    (type[Client], Client, Client),
    (Callable[[int], str], str, str),
    (int, np.int64(3), 3),
    (float, np.float64(2.5), 2.5),
    ("'int'", "3", 3),
    (list["Config"], [{}], [Config()]),
    ("'no such name'", "3", "3"),
    ("Missing", "3", "3"),
    ("list[Missing]", "3", "3"),
]


@pytest.mark.parametrize(("annotation", "given", "expected"), CONVERTED, ids=str)
def test_values_are_converted(annotation, given, expected):
    def run(value):
        pass

    run.__annotations__["value"] = annotation
    found = convert(run, given)["value"]
    assert found == expected
    assert type(found) is type(expected) or isinstance(given, np.generic)


@pytest.mark.parametrize(
    ("annotation", "given"),
    [
        (Config, Config()),
        (Config | None, Config()),
        (list[Config], [Config()]),
        (list[int], [1, 1000]),
        (list, [object()]),
        (dict[str, list[int]], {"a": [1000]}),
        (dict, {}),
        (Window, Window(date(2024, 1, 1))),
        (Holder, Holder(pd.DataFrame())),
        (pd.DataFrame, pd.DataFrame({"a": [1]})),
        (pd.DataFrame | None, pd.DataFrame({"a": [1]})),
        (Annotated[pd.DataFrame, Parameter(description="d")], pd.DataFrame({"a": [1]})),
        (np.ndarray, np.ones(2)),
        (np.ndarray[Any, np.dtype[np.float64]], np.ones(2)),
        (logging.Logger, logging.getLogger("some")),
        (Client, Client()),
        (Walks, Client()),
        (Iterable[int], [1, 2]),
        (Sequence[int], (1, 2)),
        (Callable[..., Any], print),
        (Exception, ValueError("x")),
        (re.Pattern[str], re.compile("a")),
        ("Missing", Client()),
        (dict, collections.defaultdict(list)),
        (dict[str, int], collections.OrderedDict(a=1)),
        (Mapping[str, Any], collections.defaultdict(list, a=[1])),
        (collections.defaultdict[str, list[int]], collections.defaultdict(list, a=[1])),
        (collections.deque[int], collections.deque([1], maxlen=3)),
        (tuple, Pair(1, 2)),
        (tuple[int, int], Pair(1, 2)),
        (list[int], Stack([1, 1000])),
        (set[int], {1, 1000}),
        (frozenset[str], frozenset("ab")),
        (str, Shade.LIGHT),
        (int, Level.HIGH),
        (float, np.float64(1.5)),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_has_its_type_stays_the_same_object(annotation, given):
    def run(value):
        pass

    run.__annotations__["value"] = annotation
    assert convert(run, given)["value"] is given


@pytest.mark.parametrize(
    ("annotation", "given", "expected"),
    [
        (int, True, 1),
        (list[int], [True, 2], [1, 2]),
        (set[int], {1.0, 2}, {1, 2}),
        (dict[str, int], collections.OrderedDict(a="1"), {"a": 1}),
        (tuple[int, int], Pair("1", 2), (1, 2)),
        (date, pd.Timestamp("2024-01-01"), date(2024, 1, 1)),
    ],
)
def test_what_only_looks_like_its_type_is_converted(annotation, given, expected):
    def run(value):
        pass

    run.__annotations__["value"] = annotation
    found = convert(run, given)["value"]
    assert found == expected
    assert type(found) is type(expected)
    if isinstance(found, (list, set, tuple)):
        assert {type(item) for item in found} == {int}


def test_an_iterator_is_not_touched():
    def run(items: Iterable[int]):
        pass

    items = iter([1, 2])
    assert convert(run, items)["items"] is items


def test_names_are_found_in_the_function_around():
    class Local(BaseModel):
        n: int

    def run(local: Local, many: list[Local] | None = None):
        pass

    assert convert(run, {"n": "1"}, [{"n": 2}]) == {"local": Local(n=1), "many": [Local(n=2)]}


def test_names_are_found_in_a_closure():
    def make():
        class Kept(BaseModel):
            n: int

        def run(kept: Kept):
            return Kept

        return run, Kept

    run, kept = make()
    assert convert(run, {"n": 1}) == {"kept": kept(n=1)}


def test_a_local_name_hides_a_global_one():
    class Config(BaseModel):
        other: int

    def run(config: Config):
        pass

    assert convert(run, {"other": 3}) == {"config": Config(other=3)}


def test_a_name_whose_place_is_gone_is_any():
    def make():
        class Gone:
            pass

        def run(gone: Gone):
            pass

        return run

    assert convert(make(), 3) == {"gone": 3}


class Caller:
    def __call__(self, n: int):
        pass

    def method(self, n: int):
        pass


@pytest.mark.parametrize(
    "fn",
    [
        Caller(),
        Caller().method,
        functools.partial(lambda x, n: None, 1),
        functools.wraps(Caller.method)(lambda *args, **kwargs: None),
    ],
    ids=["object", "method", "partial", "wrapped"],
)
def test_callables_of_all_sorts(fn):
    signature = inspect.signature(fn)
    found = validate_parameters("f", fn, signature, {"n": "3", "self": 1})
    assert found["n"] in (3, "3")  # the partial has no annotation
    assert validate_parameters("f", fn, signature, {"n": 3}) == {"n": 3}


def test_all_of_many_are_converted():
    def run(*numbers: int, **dates: date):
        pass

    assert convert(run, "1", 2, day="2024-01-01") == {
        "numbers": (1, 2),
        "dates": {"day": date(2024, 1, 1)},
    }
    with pytest.raises(ParameterTypeError) as caught:
        convert(run, 1, "x", day="y")
    assert [error["field"] for error in caught.value.fields["errors"]] == ["numbers.1", "day"]


def test_one_error_names_every_field():
    def run(day: date, top: int | None, config: Config, name: str, fine: int = 1):
        pass

    with pytest.raises(ParameterTypeError) as caught:
        convert(run, "soon", "x", {"depth": "deep", "colour": "green"}, 5)
    error = caught.value
    assert "4 parameters of flow 'run' cannot be used" in error.message
    assert [each["field"] for each in error.fields["errors"]] == [
        "day",
        "top",
        "config.depth",
        "config.colour",
        "name",
    ]
    assert "day: expected date, got 'soon' (str): Input should be a valid date" in error.message
    assert "top: expected int | None, got 'x' (str)" in error.message
    assert "fine" not in error.message
    assert isinstance(error, TypeError)
    assert pickle.loads(pickle.dumps(error)).fields == error.fields


def test_what_members_of_a_union_say_is_one_line():
    def run(value: int | date):
        pass

    with pytest.raises(ParameterTypeError) as caught:
        convert(run, "x")
    (entry,) = caught.value.fields["errors"]
    assert entry["field"] == "value"
    assert "valid integer" in entry["message"]
    assert "valid date" in entry["message"]


@pytest.mark.parametrize("annotation", [Client, pd.DataFrame, Holder, Iterable[int]], ids=str)
def test_an_object_of_another_class_is_refused(annotation):
    def run(value):
        pass

    run.__annotations__["value"] = annotation
    with pytest.raises(ParameterTypeError, match="value: expected"):
        convert(run, 3)


def test_none_is_fine_where_it_is_the_default():
    def run(n: int = None, m: int = Parameter(None, ge=1)):  # type: ignore[assignment]  # noqa: RUF013
        pass

    assert convert(run) == {"n": None, "m": None}
    assert convert(run, "1", "2") == {"n": 1, "m": 2}
    with pytest.raises(ParameterTypeError):
        convert(run, m=0)


def test_defaults_are_converted():
    def run(day: date = "2024-01-01"):  # type: ignore[assignment]
        pass

    assert convert(run) == {"day": date(2024, 1, 1)}


def test_what_is_not_there_yet_is_passed_as_it_is():
    def run(n: int, *more: int, day: date):
        pass

    future = Client()
    parameters = bind(run, future, "1", future, day=future)
    signature = inspect.signature(run)
    found = validate_parameters("run", run, signature, parameters, lambda v: v is future)
    assert found == {"n": future, "more": (1, future), "day": future}


@pytest.mark.parametrize(
    ("parameter", "annotation", "good", "bad"),
    [
        (Parameter(ge=1, le=3), int, "2", "4"),
        (Parameter(gt=0, lt=1), float, 0.5, 1),
        (Parameter(min_length=1), list[int], [1], []),
        (Parameter(max_length=2), str, "ab", "abc"),
        (Parameter(pattern="^a+$"), str, "aa", "b"),
        (Parameter(choices=["x", "y"]), str, "x", "z"),
        (Parameter(choices=[1, 2]), int, "1", "3"),
        (Parameter(choices=["x"]), None, "x", 3),
        (Parameter(ge=1), None, 1, "text"),
        (Parameter(pattern="a"), int, 1, 1),
    ],
    ids=str,
)
@pytest.mark.parametrize("as_default", [True, False])
def test_bounds(parameter, annotation, good, bad, as_default):
    def run(value):
        pass

    if as_default:
        run.__defaults__ = (parameter,)
        if annotation is not None:
            run.__annotations__["value"] = annotation
    else:
        run.__annotations__["value"] = Annotated[annotation or Any, parameter]
    if good != bad:
        assert str(convert(run, good)["value"]) == str(good)
    with pytest.raises(ParameterTypeError, match="value: expected"):
        convert(run, bad)


def test_a_pattern_may_look_ahead():
    def run(name: str = Parameter("a1", pattern=r"^(?=.*\d)\w+$")):
        pass

    assert convert(run) == {"name": "a1"}
    with pytest.raises(ParameterTypeError, match="should match pattern"):
        convert(run, "abc")


@pytest.mark.parametrize("pattern", ["[", "(", 3])
def test_a_pattern_that_is_none_is_refused_at_once(pattern):
    with pytest.raises(DefinitionError, match="is no regular expression"):
        Parameter(pattern=pattern)


@pytest.mark.parametrize("given", [np.arange(3), pd.DataFrame({"a": [1]}), object()], ids=type)
def test_what_cannot_be_compared_is_no_choice(given):
    def run(mode=Parameter("fast", choices=["fast", "slow"])):
        pass

    with pytest.raises(ParameterTypeError, match="must be one of 'fast', 'slow'"):
        convert(run, given)


def test_the_types_of_a_method_are_found_out_once():
    class Job:
        def run(self, day: date):
            pass

    job = Job()
    signature = inspect.signature(job.run)
    validate_parameters("run", job.run, signature, {"day": "2024-01-01"})
    kept = parameter_types._known[Job.run]
    other = Job()
    validate_parameters("run", other.run, signature, {"day": "2024-01-01"})
    assert parameter_types._known[Job.run] is kept


def test_default_and_annotated_add_up():
    def run(n: Annotated[int, Parameter(description="how many", le=9)] = Parameter(3, ge=1)):
        pass

    assert convert(run) == {"n": 3}
    for bad in (0, 10):
        with pytest.raises(ParameterTypeError):
            convert(run, bad)
    shown = parameters_schema(run)["properties"]["n"]
    assert (shown["minimum"], shown["maximum"]) == (1, 9)
    assert shown["description"] == "how many"


def test_annotated_can_be_part_of_a_union():
    def run(n: Annotated[int, Parameter(description="x")] | None = None):
        pass

    assert convert(run, "3") == {"n": 3}
    assert convert(run) == {"n": None}


def test_what_converts_parameters_is_made_once_for_all_calls_of_a_flow(monkeypatch):
    def run(n: int, day: date, values: list[int]):
        pass

    made = []
    make = parameter_types._make_adapter

    def noted(*given):
        made.append(given)
        return make(*given)

    monkeypatch.setattr(parameter_types, "_make_adapter", noted)
    signature, parameters = inspect.signature(run), {"n": 1, "day": "2024-01-01", "values": [1]}
    for _ in range(100):
        assert validate_parameters("run", run, signature, parameters)["day"] == date(2024, 1, 1)
    assert 0 < len(made) <= 3


def test_plain_parameters_need_no_pydantic():
    program = """
import inspect, sys
from datetime import date
from typing import Annotated, Any, Literal, Optional
from dataflow.model.parameter_types import validate_parameters
from dataflow.model.parameter_text import parameters_to_json
from dataflow.model.parameters import Parameter, bind_parameters

class Client: pass

def run(a, b: int, c: str = "x", *d: float, e: Optional[int] = None, f: "bool | None" = True,
        g: list[int] = [1], h: dict[str, Any] = {}, i: Any = 3, j: Client = Client(),
        k: Literal["x"] = "x", l: int = Parameter(1, description="d", choices=[1, 2]),
        m: Annotated[date, Parameter(description="d"), "doc"] = date(2024, 1, 1), **z: int):
    pass

signature = inspect.signature(run)
parameters = bind_parameters("f", signature, (1, 2), {"y": 3})
assert validate_parameters("f", run, signature, parameters) == parameters
parameters_to_json(parameters)
heavy = {"pydantic", "difflib", "asyncio"} & set(sys.modules)
assert not heavy, heavy
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)
