"""The seed programs run as they stand, and leave the records that one expects."""

from __future__ import annotations

import pytest

from dataflow import flow, task
from tests.runners.stored import counts_of, run_of

pytestmark = pytest.mark.usefixtures("runner")


@task
def load_data():
    return [1, 2, 3]


@task
def process_data(data):
    return [x * 2 for x in data]


@task
def process_one(x):
    return x * 2


@flow
def data_pipeline():
    data = load_data()
    processed = process_data(data)
    print(processed)  # [2, 4, 6]


@flow
def dynamic_flow():
    numbers = [1, 2, 3]
    futures = [process_one.submit(n) for n in numbers]
    results = [fut.result() for fut in futures]
    print(results)


def test_data_pipeline(capsys: pytest.CaptureFixture[str]) -> None:
    assert data_pipeline() is None
    assert capsys.readouterr().out == "[2, 4, 6]\n"
    assert run_of(data_pipeline).state.is_completed()
    assert counts_of(data_pipeline) == {
        "load_data-0": {"Completed": 1},
        "process_data-0": {"Completed": 1},
    }
    load, process = run_of(data_pipeline).nodes()
    assert (load.kind, process.kind) == ("call", "call")
    assert process.upstream == (load.node,)


def test_dynamic_flow(capsys: pytest.CaptureFixture[str]) -> None:
    dynamic_flow()
    assert capsys.readouterr().out == "[2, 4, 6]\n"
    assert counts_of(dynamic_flow) == {f"process_one-{n}": {"Completed": 1} for n in range(3)}
    assert {node.kind for node in run_of(dynamic_flow).nodes()} == {"task"}
