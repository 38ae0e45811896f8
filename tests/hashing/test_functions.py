"""Functions count by their source, and by what they use."""

from __future__ import annotations

import ast
import contextlib
import functools
import gc
import json
import sys
import threading
import time
from pathlib import Path

import pytest

from dataflow import task
from dataflow.hashing.values import source_of

TEMPLATE = """
import json
from functools import partial
{before}
def work(x{default}):
    return {body}
"""


@pytest.fixture
def written(tmp_path: Path):
    """Makes a module of some text and returns its function ``work``."""
    made = []

    def write(text: str):
        import importlib.util
        import sys

        path = tmp_path / f"written_{len(made)}.py"
        path.write_text(text)
        spec = importlib.util.spec_from_file_location("written", path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules["written"] = module
        spec.loader.exec_module(module)
        made.append(module)
        return module.work

    return write


def variant(body="x + 1", default="", before=""):
    return TEMPLATE.format(body=body, default=default, before=before)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (variant(), variant(body="x + 2")),
        (variant(), variant(default=", y=1")),
        (variant(default=", y=1"), variant(default=", y=2")),
        (variant("x + N", before="N = 1"), variant("x + N", before="N = 2")),
        (variant("x + N", before="N = {'a': 1}"), variant("x + N", before="N = {'a': 2}")),
        (
            variant("helper(x)", before="def helper(x): return x"),
            variant("helper(x)", before="def helper(x): return -x"),
        ),
        (
            variant("[helper(y) for y in x]", before="def helper(x): return x"),
            variant("[helper(y) for y in x]", before="def helper(x): return -x"),
        ),
        (
            variant("Kind().do(x)", before="class Kind:\n    def do(self, x): return x"),
            variant("Kind().do(x)", before="class Kind:\n    def do(self, x): return -x"),
        ),
        (variant("json.dumps(x)"), variant("json.loads(x)")),
    ],
)
def test_what_changes_what_a_function_does_changes_its_hash(written, one, other):
    first = source_of(written(one))
    assert source_of(written(one)) == first
    assert source_of(written(other)) != first


def test_what_it_does_not_use_does_not_count(written):
    one = written(variant(before="UNUSED = 1"))
    other = written(variant(before="UNUSED = 2"))
    assert source_of(one) == source_of(other)


def closing_over(value):
    def inner(x):
        return x, value

    return inner


def test_what_it_closes_over_counts():
    assert source_of(closing_over(1)) == source_of(closing_over(1))
    assert source_of(closing_over(1)) != source_of(closing_over(2))
    assert source_of(closing_over(threading.Lock())) == source_of(closing_over(threading.Lock()))


def test_lambdas_of_one_line_differ():
    one, other = (lambda x: x + 1), (lambda x: x + 2)
    assert source_of(one) != source_of(other)


def test_partials_methods_callables_and_tasks():
    class Scale:
        def __init__(self, factor):
            self.factor = factor

        def __call__(self, x):
            return x * self.factor

        def method(self, x):
            return -x

    @task
    def as_task(x):
        return x

    def calls_task(x):
        return as_task(x)

    made = [
        functools.partial(closing_over, 1),
        functools.partial(closing_over, 2),
        Scale(2),
        Scale(3),
        Scale(2).method,
        as_task.fn,
        calls_task,
        json.dumps,
        len,
    ]
    assert len(set(map(source_of, made))) == len(made)
    assert source_of(Scale(2)) == source_of(Scale(2))


def recursive(x):
    return recursive(x - 1) if x else 0


def test_a_function_that_calls_itself():
    assert source_of(recursive) == source_of(recursive)


def test_sources_are_parsed_while_another_thread_parses(written):
    """Python 3.11.7 and before get it wrong when threads take turns amid the making of a tree."""
    others = "\n".join(f"def other_{n}(a, b): return [a, b, {n}]" for n in range(200))
    functions = [written(variant("x + N[0]", before=f"N = [{n}]\n{others}")) for n in range(50)]
    is_over = threading.Event()

    def parse_on() -> None:
        while not is_over.is_set():
            with contextlib.suppress(SystemError):
                ast.parse(others)
            time.sleep(0.005)

    def take_turns(phase: str, info: object) -> None:
        sum(range(100))

    other = threading.Thread(target=parse_on)
    interval, threshold = sys.getswitchinterval(), gc.get_threshold()
    gc.callbacks.append(take_turns)
    gc.set_threshold(20)
    sys.setswitchinterval(1e-6)
    other.start()
    try:
        digests = {source_of(each) for each in functions}
    finally:
        is_over.set()
        sys.setswitchinterval(interval)
        gc.set_threshold(*threshold)
        gc.callbacks.remove(take_turns)
        other.join()
    assert len(digests) == len(functions)
