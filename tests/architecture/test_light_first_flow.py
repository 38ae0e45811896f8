"""A plain flow loads what it needs, and nothing that only other flows need.

What is loaded is most of what the first flow of a process takes.
"""

from __future__ import annotations

import importlib.util
from importlib.metadata import entry_points

import pytest

from dataflow.plugins import OURS
from tests.architecture.conftest import RunScript

FOR_KEPT_RESULTS = [
    "dataflow.cache_policies",
    "dataflow.execution.reuse.earlier_run",
    "dataflow.execution.reuse.finder",
    "dataflow.execution.flow_runs.results",
    "dataflow.execution.flow_runs.parameters",
    "dataflow.hashing",
    "dataflow.storage",
    "dataflow.worker.persisting",
]
FOR_OTHER_FLOWS = [
    "asyncio",
    "concurrent.futures",
    "dataflow.execution.limits.occupation",
    "dataflow.execution.control.resuming",
    "dataflow.execution.transactions.rolling_back",
    "dataflow.execution.limits.slots",
    "dataflow.execution.control.suspending",
    "dataflow.execution.transactions.transaction",
    "multiprocessing",
    "networkx",
    "pydantic",
]
FOR_READING_THE_STORE = [
    "dataflow.store.element_queries",
    "dataflow.store.node_queries",
    "dataflow.store.result_queries",
    "dataflow.store.run_queries",
    "dataflow.store.summaries",
]
FOR_PLUGINS = ["importlib.metadata"]  # which loads email, zipfile and others
FOR_THE_FLOW_ITSELF = [
    "dataflow.execution",
    "dataflow.graph",
    "dataflow.planner",
    "dataflow.store",
    "shutil",
    "sqlite3",
    "tempfile",
]
UNNEEDED = [*FOR_KEPT_RESULTS, *FOR_OTHER_FLOWS, *FOR_READING_THE_STORE, *FOR_PLUGINS]

PROGRAM = """
import sys

from dataflow import flow, task

@task
def loaded():
    return sorted(sys.modules)

@flow(task_runner={runner!r})
def plain():
    return loaded.submit().result()

if __name__ == "__main__":
    worker = plain()
    print(sorted({unneeded} & set(sys.modules)))
    print(sorted({unneeded_by_workers} & set(worker)))
"""


@pytest.mark.parametrize("runner", ["inline", "threads", "processes"])
def test_a_plain_flow_loads_nothing_that_it_does_not_need(
    run_script: RunScript, runner: str
) -> None:
    others = {*UNNEEDED, *FOR_THE_FLOW_ITSELF} if runner == "processes" else set()
    program = PROGRAM.format(runner=runner, unneeded=set(UNNEEDED), unneeded_by_workers=others)
    done = run_script(program)
    assert done.stdout.splitlines()[-2:] == ["[]", "[]"], done.stdout + done.stderr


@pytest.mark.parametrize("name", [*UNNEEDED, *FOR_THE_FLOW_ITSELF])
def test_what_is_not_to_be_loaded_is_there_under_that_name(name: str) -> None:
    assert importlib.util.find_spec(name) is not None


@pytest.mark.parametrize(("group", "name"), OURS)
def test_what_is_found_without_entry_points_is_what_these_say(group: str, name: str) -> None:
    [point] = entry_points(group=group, name=name)
    assert point.value == OURS[group, name]


def test_each_runner_of_ours_is_found_without_entry_points() -> None:
    ours = {
        point.name
        for point in entry_points(group="dataflow.runners")
        if point.module.partition(".")[0] == "runners"
    }
    assert ours == {name for group, name in OURS if group == "dataflow.runners"}
