"""Transactions of runs that go on, or are tried again: what was set, and what was committed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from dataflow import flow, get_transaction, records, task, transaction
from tests.runners.effects import done, fails_once
from tests.runners.stored import run_of

heard: list[tuple[str, Any]] = []


@pytest.fixture(autouse=True)
def _nothing_heard() -> None:
    heard.clear()


def hear(what: str) -> Any:
    def hook(part: Any) -> None:
        heard.append((what, part.get("what")))

    return hook


@task(on_commit=[hear("keep")], on_rollback=[hear("undo")])
def write(what: str) -> str:
    part = get_transaction()
    assert part is not None
    part.set("what", what)
    return what


def own(part: Any) -> None:
    heard.append(("own", part.get("staged")))


ALL = [("keep", x) for x in "abcd"]


@flow(persist_result=True)
def stops_after(place: str) -> None:
    with transaction() as part:
        part.stage("it", on_commit_hooks=[own])
        write("a")
        write.submit("b").wait()
        write.map(["c", "d"]).wait()
    if fails_once(place, "first"):
        raise ConnectionError("later")
    with transaction():
        write("e")


def test_what_was_committed_is_not_committed_again(runner: str, place: str) -> None:
    with pytest.raises(ConnectionError):
        stops_after(place)
    assert heard == [*ALL, ("own", "it")]
    heard.clear()
    stops_after.resume(run_of(stops_after).id)
    assert heard == [("keep", "e")]


def test_nor_when_the_flow_is_tried_again(runner: str, place: str) -> None:
    again = stops_after.with_options(name="again", retries=1)
    again(place)
    assert heard == [*ALL, ("own", "it"), ("keep", "e")]


def test_what_was_committed_is_not_rolled_back_later(runner: str, place: str) -> None:
    @flow(persist_result=True)
    def changes(place: str) -> None:
        with transaction():
            write("a")
            write.map(["b", "c"]).wait()
            if not fails_once(place, "first"):
                write("new")
                raise ValueError("now it does not end well")
        raise ConnectionError("later")

    with pytest.raises(ConnectionError):
        changes(place)
    assert heard == [("keep", "a"), ("keep", "b"), ("keep", "c")]
    heard.clear()
    with pytest.raises(ValueError, match="not end well"):
        changes.resume(run_of(changes).id)
    assert heard == [("undo", "new")]
    counts = [node.counts for node in run_of(changes).nodes()]
    assert counts == [{"Completed": 1}, {"Completed": 2}, {"RolledBack": 1}]


def test_what_is_computed_again_is_committed_again(runner: str, place: str) -> None:
    """With what was set now, also where it was not set before."""

    @task(on_commit=[hear("keep")])
    def stamps(what: str, at: int) -> None:
        part = get_transaction()
        assert part is not None
        part.set("what", (what, at))

    @flow(persist_result=True)
    def changes(place: str) -> None:
        stamp = 1 if fails_once(place, "stamp") else 2
        with transaction() as part:
            part.stage("it", on_commit_hooks=[own])
            stamps("same", 0)
            stamps.map(["x", "y"], at=[stamp, 0]).wait()
        if fails_once(place, "first"):
            raise ConnectionError("later")

    with pytest.raises(ConnectionError):
        changes(place)
    assert heard == [*(("keep", each) for each in (("same", 0), ("x", 1), ("y", 0))), ("own", "it")]
    heard.clear()
    changes.resume(run_of(changes).id)
    assert heard == [("keep", ("x", 2)), ("own", "it")]


def test_without_kept_results_all_is_done_and_committed_again(runner: str, place: str) -> None:
    forgets = flow(stops_after.fn, name="forgets", persist_result=False)
    with pytest.raises(ConnectionError):
        forgets(place)
    heard.clear()
    forgets.resume(run_of(forgets).id)
    assert heard == [*ALL, ("own", "it"), ("keep", "e")]


@flow
def inner(place: str) -> None:
    write("in")
    write.submit("there").wait()


@flow(persist_result=True)
def calls_another(place: str) -> None:
    with transaction() as part:
        part.stage("it", on_commit_hooks=[own])
        inner(place)
    if fails_once(place, "first"):
        raise ConnectionError("later")


def test_what_a_subflow_did_is_not_committed_again(runner: str, place: str) -> None:
    with pytest.raises(ConnectionError):
        calls_another(place)
    assert heard == [("keep", "in"), ("keep", "there"), ("own", "it")]
    heard.clear()
    before = run_of(inner).states()
    calls_another.resume(run_of(calls_another).id)
    assert heard == []
    assert run_of(inner).states() == before


PROGRAM = """
import os, signal, sys, threading
from dataflow import flow, get_transaction, task, transaction
from tests.runners.effects import fails_once, note

@flow
def leaf(place):
    put("f", place)

@flow
def branch(place):
    put.submit("e", place).wait()
    leaf(place)

@task
def put(x, place):
    part = get_transaction()
    part.set("what", [x])
    part.set("lock", threading.Lock())
    note(place, f"put {x}")
    return x

def hook(kind):
    def call(part):
        note(sys.argv[1], f"{kind} {part.name} {part.get('what')}")
        if kind == "undo":
            part.get("lock")
    return call

put.on_commit(hook("keep"))
put.on_rollback(hook("undo"))

@flow(persist_result=True)
def killed(place: str, ends_well: bool):
    with transaction():
        put("a", place)
        put.submit("b", place).wait()
        put.map(["c", "d"], place).wait()
        branch(place)
        if fails_once(place, "kill"):
            os.kill(os.getpid(), signal.SIGKILL)
        if not ends_well:
            raise ValueError("no")

if __name__ == "__main__":
    killed(sys.argv[1], sys.argv[2] == "well")
"""
NAMES = ["put-0 a", "put-1 b", "put-2[0] c", "put-2[1] d", "put-0 e", "put-0 f"]


@pytest.mark.parametrize("end", ["well", "badly"])
def test_what_was_set_outlives_the_process(
    runner: str, place: str, home: Path, tmp_path: Path, end: str
) -> None:
    file = tmp_path / "killed_flow.py"
    file.write_text(PROGRAM)
    environment = {
        **os.environ,
        "DATAFLOW_HOME": str(home),
        "PYTHONPATH": str(Path(__file__).parents[2]),
    }
    if runner in ("processes", "dask"):  # what leaves a worker has to be picklable there as well
        file.write_text(PROGRAM.replace("threading.Lock()", "None"))
    program = [sys.executable, str(file), place, end]
    died = subprocess.run(program, env=environment, check=False)
    assert died.returncode == -signal.SIGKILL
    (run,) = records.runs(flow_name="killed")
    code = f"import sys, killed_flow; sys.argv[1:] = [{place!r}]; "
    code += f"killed_flow.killed.resume({run.id!r}, return_state=True)"
    subprocess.run([sys.executable, "-c", code], env=environment, check=True, cwd=tmp_path)
    kind = "keep" if end == "well" else "undo"
    puts = Counter(f"put {x}" for x in "abcdef")
    told = Counter(f"{kind} {name} [{x!r}]" for name, x in map(str.split, NAMES))
    assert done(place) == puts + told
    runs = records.runs(limit=None)
    assert len(runs) == 3
    said = [line.message for each in runs for line in each.logs()]
    unkept = [each for each in said if "'lock' was set before" in each]
    assert len(unkept) == (6 if end == "badly" and runner in ("inline", "threads") else 0)
    wanted = {"Completed"} if end == "well" else {"RolledBack"}
    nodes = [node for each in runs for node in each.nodes() if node.kind != "flow"]
    assert {name for node in nodes for name in node.counts} == wanted


def test_a_value_that_cannot_be_kept_is_there_while_the_process_is(runner: str) -> None:
    if runner in ("processes", "dask"):
        pytest.skip("it does not leave a worker")
    got: list[Any] = []

    @task(on_commit=[lambda part: got.append(part.get("lock"))])
    def locks() -> None:
        part = get_transaction()
        assert part is not None
        part.set("lock", threading.Lock())

    @flow(persist_result=True)
    def whole() -> None:
        with transaction():
            locks.submit().wait()

    whole()
    assert len(got) == 1 and not got[0].locked()
