"""What people really write, cases 9, 10, 13 and 16: options, names, parameters, definitions."""

from __future__ import annotations

import argparse
import datetime
import enum
import functools
import logging
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal, Optional

import pydantic
import pytest

from dataflow import Flow, flow, task
from dataflow.errors import ParameterTypeError
from tests.runners.stored import counts_of, run_of

pytestmark = pytest.mark.usefixtures("runner")


@task
def double(x):
    return 2 * x


# --- 9: with_options -----------------------------------------------------------------------------


@flow
def options_in_loops():
    found = []
    for name in ("north", "south"):
        varied = double.with_options(name=f"double-{name}", retries=2, timeout_seconds=30)
        found.append((varied(1), varied.submit(2).result(), varied.map([3, 4]).result()))
    return found


def test_with_options_in_loops() -> None:
    assert options_in_loops() == [(2, 4, [6, 8])] * 2
    assert set(counts_of(options_in_loops)) == {
        f"double-{name}-{n}" for name in ("north", "south") for n in range(3)
    }
    assert double.name == "double"
    assert double.retry_policy.retries == 0
    assert double.timeout_seconds is None


@flow
def inner_runner():
    return double.map([1, 2])


def test_a_flow_with_another_runner(runner: str) -> None:
    varied = inner_runner.with_options(task_runner="inline", name="varied")
    assert varied() == inner_runner() == [2, 4]
    assert run_of(varied).summary.runner == "inline"
    assert run_of(inner_runner).summary.runner == runner
    assert inner_runner.task_runner is None


# --- 10: run names -------------------------------------------------------------------------------

CONFIG = SimpleNamespace(a=SimpleNamespace(b="deep"))


@task(task_run_name="load {path.stem}")
def by_path(path):
    return path


@task(task_run_name="day {day[1]:>03} of {d:%Y%m}")
def by_day(day, d):
    return day


@task(task_run_name="uses {config.a.b}")
def by_config(config):
    return None


@task(task_run_name=lambda: "from a callable")
def by_callable(x):
    return x


@task(task_run_name=lambda parameters: f"x is {parameters['x']}")
def by_parameters(x, y=2):
    return x


@flow(flow_run_name="{path.name} for {n:03}")
def named(path: Path, n: int = 7):
    moment = datetime.date(2024, 5, 1)
    by_path(path)
    futures = [
        by_path.submit(path),
        by_day.submit((2024, 5), moment),
        by_config.submit(CONFIG),
        by_callable.submit(1),
        by_parameters.submit(3),
    ]
    mapped = by_parameters.map([1, 2])
    mapped.wait()
    for future in futures:
        future.wait()
    return [f.task_run_name for f in futures], [f.task_run_name for f in mapped]


def test_run_names_from_templates_and_callables() -> None:
    single, mapped = named(Path("/data/flights.csv"))
    assert single == [
        "load flights",
        "day 005 of 202405",
        "uses deep",
        "from a callable",
        "x is 3",
    ]
    assert mapped == ["x is 1", "x is 2"]
    assert run_of(named).name == "flights.csv for 007"


# --- 13: parameters ------------------------------------------------------------------------------


class Colour(enum.Enum):
    RED = "red"


class Config(pydantic.BaseModel):
    size: int
    names: list[str] = []


_seen: list[Any] = []


@flow
def typed(
    day: datetime.date,
    config: Config,
    number: int,
    path: Path,
    many: list[int],
    when: Optional[datetime.datetime] = None,  # noqa: UP045 (as people write it)
    mode: Literal["fast", "slow"] = "fast",
    colour: Colour = Colour.RED,
    most: pydantic.PositiveInt = 3,
):
    _seen.append("ran")
    return day, config, number, path, many, when, mode, colour, most


def test_parameters_are_converted() -> None:
    found = typed(
        "2024-05-01", {"size": "3"}, "5", "/tmp", ["1", 2], "2024-05-01T10:00", "slow", "red", "4"
    )
    assert found == (
        datetime.date(2024, 5, 1),
        Config(size=3),
        5,
        Path("/tmp"),
        [1, 2],
        datetime.datetime(2024, 5, 1, 10, 0),  # noqa: DTZ001
        "slow",
        Colour.RED,
        4,
    )


def test_bad_parameters_are_all_named_before_anything_runs() -> None:
    _seen.clear()
    with pytest.raises(ParameterTypeError) as caught:
        typed("no day", {"size": "x"}, "five", "/tmp", 3, most=-1)
    for name in ("day", "size", "number", "many", "most"):
        assert name in str(caught.value)
    assert "path" not in str(caught.value)
    assert not _seen
    assert run_of(typed).state.is_failed()


@flow(validate_parameters=False)
def unchecked(number: int):
    return number


def test_validation_can_be_left_out() -> None:
    assert unchecked("five") == "five"


class Client:
    def __init__(self) -> None:
        self.log = logging.getLogger("client")


@flow
def objects(fn: Callable[[int], int], client: Client, logger: Any, args: argparse.Namespace):
    return fn(2), client, logger, args.depth


def test_objects_are_passed_as_they_are() -> None:
    client, logger = Client(), logging.getLogger("x")
    found = objects(lambda x: x + 1, client, logger, argparse.Namespace(depth=3))
    assert found[0] == 3
    assert found[1] is client
    assert found[2] is logger
    assert found[3] == 3


@flow
def mutable_default(found: list[int] = []):  # noqa: B006
    found.append(1)
    return len(found)


def test_a_mutable_default_is_fresh_in_each_run() -> None:
    assert (mutable_default(), mutable_default()) == (1, 1)


# --- 16: definitions -----------------------------------------------------------------------------


def _logged(fn):
    @functools.wraps(fn)
    def wrapper(*args, **kwargs):
        return fn(*args, **kwargs) + 1000

    return wrapper


@task
@_logged
def decorated(x):
    return x


def plain(x, y=1):
    return x + y


class Scaler:
    def __init__(self, factor: int) -> None:
        self.factor = factor

    def __call__(self, x):
        return x * self.factor

    @task
    def scale(self, x):
        return x * self.factor

    @task
    @staticmethod
    def negate(x):
        return -x

    @task
    @classmethod
    def kind(cls, x):
        return cls.__name__, x

    @flow
    def scale_all(self, values):
        return self.scale.map(values)


@task
def only_keyword(*, x, y=2):
    return x, y


@task
def only_positional(x, /, y):
    return x, y


@task
def any_arguments(*args, **kwargs):
    return args, kwargs


def _made(factor: int) -> Any:
    @task(name=f"times-{factor}")
    def times(x):
        return x * factor

    return times


@flow
def definitions():
    tasks = [
        task(plain),
        task(lambda x: x + 5),
        task(functools.partial(plain, y=10)),
        task(Scaler(3)),
        decorated,
        Scaler(4).scale,
        Scaler.negate,
        *(_made(factor) for factor in (7, 8)),
    ]
    called = [each(2) for each in tasks]
    submitted = [each.submit(2).result() for each in tasks]
    mapped = [each.map([2]).result()[0] for each in tasks]
    assert called == submitted == mapped
    return called


def test_tasks_of_every_make() -> None:
    assert definitions() == [3, 7, 12, 6, 1002, 8, -2, 14, 16]


@flow
def signatures():
    return (
        only_keyword.submit(x=1),
        only_keyword.map(x=[1, 2]),
        only_positional.submit(1, y=3),
        only_positional.map([1, 2], y=[3, 4]),
        any_arguments.submit(1, 2, a=3),
        any_arguments.map([1, 2], a=[3, 4]),
        Scaler(1).kind.submit(5),
    )


def test_signatures_of_every_kind() -> None:
    assert signatures() == (
        (1, 2),
        [(1, 2), (2, 2)],
        (1, 3),
        [(1, 3), (2, 4)],
        ((1, 2), {"a": 3}),
        [((1,), {"a": 3}), ((2,), {"a": 4})],
        ("Scaler", 5),
    )


def test_flows_of_every_make() -> None:
    made: Flow[..., Any] = Flow(fn=plain, name="made")
    assert made(1, y=4) == 5
    assert flow(lambda: double.submit(4), name="lambda")() == 8
    assert Scaler(5).scale_all([1, 2]) == [5, 10]
    assert flow(functools.partial(plain, 1), name="partial")(y=2) == 3


def test_a_method_is_one_task_run_wherever_it_runs() -> None:
    assert Scaler(5).scale_all([1, 2]) == [5, 10]
    run = run_of(Scaler(5).scale_all)
    assert not run.subflows()
    assert [(node.name, node.counts) for node in run.nodes()] == [("scale-0", {"Completed": 2})]
