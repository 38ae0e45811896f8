"""Parameters: bound, converted, described, written down."""

from __future__ import annotations

import collections
import enum
import functools
import inspect
import json
import logging
import pickle
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, NewType, Optional, Protocol

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, Field, PositiveInt, SecretStr
from typing_extensions import TypedDict

from dataflow.errors import DefinitionError, ParameterBindError, ParameterTypeError
from dataflow.model import parameter_types
from dataflow.model.parameter_schema import docstring_parameters, parameters_schema
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
from dataflow.model.parameter_types import validate_parameters
from dataflow.model.parameters import (
    Parameter,
    bind_parameters,
    call_arguments,
)

QUICK = settings(max_examples=50, deadline=None)


def bind(fn: Callable[..., Any], *args: Any, **kwargs: Any) -> dict[str, Any]:
    return bind_parameters(f"flow {fn.__name__!r}", inspect.signature(fn), args, kwargs)


def convert(fn: Callable[..., Any], *args: Any, **kwargs: Any) -> dict[str, Any]:
    return validate_parameters(fn.__name__, fn, inspect.signature(fn), bind(fn, *args, **kwargs))


# --- binding -------------------------------------------------------------------------------------


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


# --- types ---------------------------------------------------------------------------------------


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Config(BaseModel):
    depth: int = 1
    colour: Colour = Colour.RED


@dataclass
class Window:
    start: date
    days: int = 1


@dataclass
class Holder:
    frame: pd.DataFrame


class Client:
    pass


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


# --- schema --------------------------------------------------------------------------------------


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


# --- text ----------------------------------------------------------------------------------------


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
