"""Names of runs: checked when decorated, made from parameters."""

from __future__ import annotations

import functools
import inspect
import pickle
from collections.abc import Callable
from datetime import date
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cloudpickle
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataflow import flow
from dataflow.errors import DefinitionError
from dataflow.model.run_names import RunName, compile_run_name

QUICK = settings(max_examples=50, deadline=None)


def process(day, path=None, config=None, d=None, n=1, **more):
    pass


def strict(day, number):
    pass


def compile_for(fn: Callable[..., Any], template: Any) -> RunName:
    return compile_run_name(template, inspect.signature(fn), f"task {fn.__name__!r}")


@pytest.mark.parametrize(
    ("template", "parameters", "name"),
    [
        ("plain", {}, "plain"),
        ("", {}, ""),
        ("{n}", {"n": 3}, "3"),
        ("{n!r}", {"n": "x"}, "'x'"),
        ("{path.stem}", {"path": Path("a/b.csv")}, "b"),
        ("{d[key]}", {"d": {"key": 5}}, "5"),
        ("{day[1]:>03}", {"day": (1, 7)}, "007"),
        ("{d:%Y%m}", {"d": date(2024, 2, 1)}, "202402"),
        ("{config.a.b}", {"config": SimpleNamespace(a=SimpleNamespace(b=1))}, "1"),
        ("{n:{d}}", {"n": 3, "d": 4}, "   3"),
        ("{{n}}", {"n": 3}, "{n}"),
        ("{colour}", {"more": {"colour": "red"}}, "red"),
        ("{n}-{more}", {"n": 1, "more": {}}, "1-{}"),
    ],
)
def test_templates(template, parameters, name):
    compiled = compile_for(process, template)
    assert compiled.render(parameters) == name
    assert pickle.loads(pickle.dumps(compiled)).render(parameters) == name


@pytest.mark.parametrize(
    ("template", "said", "hint"),
    [
        ("{dya}", "names 'dya', which is no parameter", "Did you mean 'day'?"),
        ("{zzz}", "names 'zzz'", "Its parameters: day, number."),
        ("{dya.year}", "names 'dya'", "Did you mean 'day'?"),
        ("{day:{numbr}}", "names 'numbr'", "Did you mean 'number'?"),
        ("{flow_run}", "names 'flow_run'", "runtime.flow_run.name"),
        ("{}", "fields need names", ""),
        ("{0}", "fields need names", ""),
        ("{.stem}", "fields need names", ""),
        ("{day", "no valid template", "written twice"),
        ("day}", "no valid template", "written twice"),
        ("{day!x}", "'!x' is no conversion", ""),
        ("{day[a}", "no valid template", ""),
        ("{day.}", "no valid template", ""),
        ("{day:{number:{day}}}", "in another one cannot have fields", ""),
    ],
)
def test_a_bad_template_fails_when_it_is_checked(template, said, hint):
    with pytest.raises(DefinitionError) as caught:
        compile_for(strict, template)
    message = str(caught.value)
    assert said in message
    assert hint in message
    assert "task 'strict'" in message
    assert repr(template) in message


@QUICK
@given(st.text("{}!:.[]ad0 "))
def test_what_passes_the_check_is_a_template(template):
    def run(a, d):
        pass

    class Everything(str):
        def __getattr__(self, name):
            return self

        def __getitem__(self, key):
            return self

        def __format__(self, spec):
            return "x"

    try:
        compiled = compile_for(run, template)
    except DefinitionError:
        return
    assert isinstance(compiled.render({"a": Everything(), "d": Everything()}), str)


def test_a_template_for_what_takes_nothing():
    with pytest.raises(DefinitionError, match="It has no parameters"):
        compile_for(lambda: None, "{day}")


def test_functions():
    assert compile_for(strict, lambda: "a").render({"day": 1}) == "a"
    assert compile_for(strict, lambda parameters: str(parameters)).render({"day": 1}) == (
        "{'day': 1}"
    )
    assert compile_for(strict, lambda parameters=None: str(parameters)).render({}) == "{}"
    assert compile_for(strict, lambda *args, **kwargs: "any").render({}) == "any"
    partial = functools.partial(lambda word, parameters: word + parameters["day"], "x")
    assert compile_for(strict, partial).render({"day": "y"}) == "xy"


def test_functions_travel():
    compiled = compile_for(strict, lambda parameters: parameters["day"])
    assert pickle.loads(cloudpickle.dumps(compiled)).render({"day": "a"}) == "a"


async def name_later():
    return "x"


@pytest.mark.parametrize(
    ("template", "said"),
    [
        (lambda day: "x", "needs 'day'"),
        (lambda parameters, /: "x", "needs 'parameters'"),
        (name_later, "is async"),
        (3, "must be text or a function, not 3"),
        (None, "must be text or a function"),
    ],
)
def test_what_cannot_make_names_is_refused(template, said):
    with pytest.raises(DefinitionError, match=said):
        compile_for(strict, template)


@pytest.mark.parametrize(
    ("template", "said"),
    [
        ("{day.yer}", "AttributeError"),
        ("{day[1]}", "TypeError"),
        ("{day.year:q}", "ValueError"),
        ("{number}", "KeyError"),
        (lambda: 1 / 0, "ZeroDivisionError"),
        (lambda: 3, "returned int, not text"),
    ],
)
def test_a_name_that_cannot_be_made_says_whose(template, said):
    with pytest.raises(DefinitionError, match=said) as caught:
        compile_for(strict, template).render({"day": date(2024, 1, 1)})
    assert "task 'strict'" in str(caught.value)


def test_flows_are_named_after_functions():
    def load_all_data():
        pass

    assert flow(load_all_data).name == "load-all-data"
    assert flow(functools.partial(load_all_data)).name == "load-all-data"
    assert flow(lambda: None).name == "lambda"
