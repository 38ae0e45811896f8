"""What was rolled back is not taken for done: by runs that go on, by retries, or from the cache."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from dataflow import flow, get_transaction, records, task, transaction, unmapped
from dataflow.cache_policies import INPUTS
from tests.runners.effects import done, fails_once, note
from tests.runners.stored import run_of

undone: list[str] = []


@pytest.fixture(autouse=True)
def _nothing_undone() -> None:
    undone.clear()


class Flaw(Exception):
    pass


@task
def put(x, place):
    note(place, f"put {x}")
    part = get_transaction()
    assert part is not None
    part.set("x", x)
    return x


@put.on_rollback
def take_away(part):
    undone.append(f"{part.name}: {part.get('x')}")


@task
def plus(x, place):
    note(place, f"plus {x}")
    return x + 1


@task
def breaks(place):
    if fails_once(place, "breaks"):
        raise Flaw("the first time")


def said(of):
    """What the run says of its earlier results."""
    return [line.message for line in run_of(of).logs() if line.message.startswith("Resumed")][-1]


@flow(persist_result=True)
def whole(place):
    before = plus.map(range(3), unmapped(place)).result()
    with transaction():
        single = put("a", place)
        sent = put.submit("b", place)
        fused = plus.map(put.map(before, unmapped(place)), unmapped(place))
        found = [single, sent.result(), fused.result()]
        breaks(place)
    return found


EFFECTS = {"put a", "put b"} | {f"put {x}" for x in (1, 2, 3)} | {f"plus {x}" for x in range(4)}


def test_a_run_that_goes_on_does_it_again(runner: str, place: str) -> None:
    with pytest.raises(Flaw):
        whole(place)
    assert len(undone) == 5
    counts = {node.key: node.counts for node in run_of(whole).nodes()}
    assert counts["put-2"] == counts["plus-1"] == {"RolledBack": 3}
    assert whole.resume(run_of(whole).id) == ["a", "b", [2, 3, 4]]
    effects = done(place)
    assert effects["plus 0"] == 1
    assert {effect for effect in effects if effects[effect] > 1} == EFFECTS - {"plus 0"}
    assert max(effects[each] for each in effects if each.startswith("put")) == 2
    assert "3 results of before reused; computed: 8 were rolled back" in said(whole)
    assert all(set(node.counts) == {"Completed"} for node in run_of(whole).nodes())
    assert len(undone) == 5


def test_a_retry_does_it_again(runner: str, place: str) -> None:
    tried = whole.with_options(retries=1, name="tried")
    assert tried(place) == ["a", "b", [2, 3, 4]]
    effects = done(place)
    assert [effects[each] for each in ("plus 0", "put a", "put b", "put 2")] == [1, 2, 2, 2]
    assert "8 were rolled back" in said(tried)
    assert all(set(node.counts) == {"Completed"} for node in run_of(tried).nodes())


@task
def only_even(x, place):
    note(place, f"even {x}")
    if x % 2 and fails_once(place, f"even-{x}"):
        raise Flaw
    return x


def test_elements_that_failed_are_told_from_those_that_were_rolled_back(
    runner: str, place: str
) -> None:
    @flow(persist_result=True)
    def halves():
        with transaction():
            return only_even.map(range(6), unmapped(place)).result()

    with pytest.raises(Flaw):
        halves()
    assert run_of(halves).nodes()[0].counts == {"RolledBack": 3, "Failed": 3}
    assert halves.resume(run_of(halves).id) == list(range(6))
    assert set(done(place).values()) == {2}
    expected = "0 results of before reused; computed: 3 were rolled back, 3 had not finished before"
    assert expected in said(halves)


@flow
def leaf(place):
    return put("leaf", place)


@flow
def branch(place):
    return leaf(place)


def test_subflows_whose_task_runs_were_rolled_back_run_again(runner: str, place: str) -> None:
    @flow(persist_result=True)
    def tree():
        kept = branch.with_options(name="kept")(place)
        with transaction():
            branch(place)
            breaks(place)
        return kept

    with pytest.raises(Flaw):
        tree()
    assert undone == ["put-0: leaf"]
    assert tree.resume(run_of(tree).id) == "leaf"
    assert done(place)["put leaf"] == 3
    assert len(records.runs(flow_name="kept")) == 1
    last = records.runs(flow_name="leaf")[0]
    assert last.nodes()[0].counts == {"Completed": 1}
    assert "1 were rolled back" in "".join(line.message for line in last.logs())


cached = put.with_options(name="cached", cache_policy=INPUTS)


def test_the_cache_leads_to_it_no_more(runner: str, place: str) -> None:
    @flow
    def stubborn(fails):
        for _ in range(2):
            with suppress(Flaw), transaction():
                cached.map(["m", "n"], unmapped(place)).result()
                cached.submit("s", place).result()
                cached("c", place)
                if fails:
                    raise Flaw
        return "done"

    stubborn(True)
    assert done(place) == dict.fromkeys(["put m", "put n", "put s", "put c"], 2)
    counts = [node.counts for node in run_of(stubborn).nodes()]
    assert counts == [{"RolledBack": 2}, {"RolledBack": 1}, {"RolledBack": 1}] * 2
    stubborn(False)
    assert set(done(place).values()) == {3}


def test_what_was_taken_from_the_cache_has_nothing_to_undo(runner: str, place: str) -> None:
    committed: list[str] = []
    watched = cached.with_options(on_commit=[lambda part: committed.append(part.name)])

    @flow
    def first():
        watched.map(["m", "n"], unmapped(place)).result()
        watched("c", place)

    @flow
    def second(fails):
        with transaction():
            watched.map(["m", "n", "new"], unmapped(place)).result()
            watched.submit("n", place).result()
            watched("c", place)
            if fails:
                raise Flaw

    first()
    with pytest.raises(Flaw):
        second(True)
    assert undone == ["cached-0[2]: new"]
    counts = [node.counts for node in run_of(second).nodes()]
    assert counts == [{"Cached": 2, "RolledBack": 1}, {"Cached": 1}, {"Cached": 1}]
    first()
    assert done(place) == dict.fromkeys(["put m", "put n", "put c", "put new"], 1)
    second(False)
    assert committed == ["cached-0[2]"]


def test_what_was_taken_from_another_that_was_rolled_back_is_asked_for_again(
    runner: str, place: str
) -> None:
    @flow(persist_result=True)
    def twins():
        with transaction():
            one = cached("t", place)
            other = cached.submit("t", place).result()
            breaks(place)
        return one, other

    with pytest.raises(Flaw):
        twins()
    counts = [{"RolledBack": 1}, {"Cached": 1}]
    assert [node.counts for node in run_of(twins).nodes()][:2] == counts
    assert twins.resume(run_of(twins).id) == ("t", "t")
    assert done(place)["put t"] == 2
    assert "2 were rolled back" in said(twins)
    counts = [{"Completed": 1}, {"Cached": 1}]
    assert [node.counts for node in run_of(twins).nodes()][:2] == counts


PROGRAM = """
import os, signal, sys
from dataflow import flow, task, transaction
from tests.runners.effects import fails_once, note

@task
def put(x, place):
    note(place, f"put {x}")
    return x

@put.on_rollback
def undo(part):
    note(os.environ["PLACE"], f"undo {part.name}")
    if part.name == "put-1":
        os.kill(os.getpid(), signal.SIGKILL)

@put.on_commit
def keep(part):
    note(os.environ["PLACE"], f"keep {part.name}")

def puts(place):
    return [put("a", place), put("b", place), put("c", place)]

@flow(persist_result=True)
def killed(place: str, below: bool):
    with transaction():
        found = flow(puts)(place) if below else puts(place)
        if fails_once(place, "flaw"):
            raise ValueError
    return found

if __name__ == "__main__":
    killed(sys.argv[1], sys.argv[2] == "below")
"""


@pytest.mark.parametrize("where", ["here", "below"])
def test_killed_while_it_is_rolled_back(
    runner: str, place: str, home: Path, tmp_path: Path, where: str
) -> None:
    file = tmp_path / "killed_flow.py"
    file.write_text(PROGRAM)
    environment = {
        **os.environ,
        "DATAFLOW_HOME": str(home),
        "PLACE": place,
        "PYTHONPATH": str(Path(__file__).parents[2]),
    }
    program = [sys.executable, str(file), place, where]
    died = subprocess.run(program, env=environment, check=False)
    assert died.returncode == -signal.SIGKILL
    (whole,) = records.runs(flow_name="killed")
    (run,) = records.runs(flow_name="killed" if where == "here" else "puts")
    counts = [{"Completed": 1}, {"RolledBack": 1}, {"RolledBack": 1}]
    assert [node.counts for node in run.nodes()] == counts
    resume = [sys.executable, "-m", "dataflow", "runs", "resume", whole.id, "--json"]
    shown = subprocess.run(resume, env=environment, check=True, capture_output=True, text=True)
    assert json.loads(shown.stdout)["result"] == ["a", "b", "c"]
    effects = done(place)
    assert [effects[f"put {x}"] for x in "abc"] == [1, 2, 2]
    assert [effects[f"undo put-{n}"] for n in range(3)] == [0, 1, 1]
    assert [effects[f"keep put-{n}"] for n in range(3)] == [1, 1, 1]
    assert any("1 result of before reused" in line.message for line in run.logs())
    assert any("computed: 2 were rolled back" in line.message for line in run.logs())
