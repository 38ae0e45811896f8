"""Runs that go on where they stopped, and flows that are tried again: what is done stays done."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from datetime import date
from pathlib import Path

import pytest

from dataflow import flow, records, task, unmapped, wait
from dataflow.cache_policies import INPUTS
from dataflow.errors import ResumeError, RunNotFound
from tests.chaos.evidence import completions_of
from tests.runners.effects import done, fails_once, note


class Flaw(Exception):
    pass


@task
def make(n, place):
    note(place, "make")
    return list(range(n))


@task
def double(x, place):
    if x == 7 and fails_once(place, "double"):
        raise Flaw("the first time")
    note(place, f"double {x}")
    return 2 * x


@task
def total(values, place):
    note(place, "total")
    return sum(values)


@flow(persist_result=True)
def pipeline(place: str, n: int = 20):
    made = make(n, place)
    known = double.map(made, unmapped(place))
    unknown = double.map(make.submit(5, place), unmapped(place))
    known.result()
    return total.submit(known, place).result(), total(unknown, place)


def only_run(of):
    (run,) = records.runs(flow_name=of.name)
    return run


def test_a_failed_run_goes_on_and_does_only_what_is_missing(runner, place):
    with pytest.raises(Flaw):
        pipeline(place)
    failed = only_run(pipeline)
    assert failed.state.is_failed()
    assert pipeline.resume(failed.id) == (380, 20)
    run = only_run(pipeline)
    assert run.state.is_completed()
    assert [state.name for state in run.states()][-3:] == ["Resuming", "Running", "Completed"]
    counts = {node.key: node.counts for node in run.nodes()}
    assert counts == {
        "make-0": {"Completed": 1},
        "double-0": {"Completed": 20},
        "make-1": {"Completed": 1},
        "double-1": {"Completed": 5},
        "total-0": {"Completed": 1},
        "total-1": {"Completed": 1},
    }
    effects = done(place)
    assert effects["make"] == 2
    assert all(effects[f"double {x}"] == 1 for x in range(5, 20))
    assert all(effects[f"double {x}"] == 2 for x in range(5))
    (line,) = [each.message for each in run.logs() if each.message.startswith("Resumed")]
    assert "26 results of before reused" in line


@task
def stage(x, place):
    note(place, f"stage {x}")
    return x + 1


@task
def breaks(x, place):
    if fails_once(place, "breaks"):
        raise Flaw
    return x


@flow(persist_result=True)
def fused(place):
    first = stage.map(range(30), unmapped(place))
    second = double.map(first, unmapped(place + "-second"))
    second.wait()
    breaks(1, place)
    return total.submit(second, place).result()


def test_fused_maps_go_on_stage_by_stage(runner, place):
    Path(f"{place}-second-double").touch()
    with pytest.raises(Flaw):
        fused(place)
    assert fused.resume(only_run(fused).id) == sum(2 * (x + 1) for x in range(30))
    assert set(done(place).values()) == {1}
    assert set(done(place + "-second").values()) == {1}


def test_what_had_completed_stays_so_when_its_run_ends_before_it_comes_to_it(runner, place):
    @flow(persist_result=True)
    def ended_early(place):
        found = stage.map(range(4), unmapped(place))
        sent = total.submit(found, place)
        if Path(f"{place}-stop").exists():
            raise KeyboardInterrupt
        found.wait(), sent.wait(), double(9, place)
        breaks(1, place)
        return sent.result()

    with pytest.raises(Flaw):
        ended_early(place)
    run, stop = only_run(ended_early), Path(f"{place}-stop")
    before = [node.counts for node in run.nodes()]
    assert before[:3] == [{"Completed": 4}, {"Completed": 1}, {"Completed": 1}]
    stop.touch()
    with pytest.raises(KeyboardInterrupt):
        ended_early.resume(run.id)
    assert [node.counts for node in run.nodes()] == before
    stop.unlink()
    assert ended_early.resume(run.id) == 10
    assert [node.counts for node in run.nodes()] == [*before[:3], {"Completed": 1}]
    assert set(done(place).values()) == {1}


def test_what_failed_when_it_was_made_again_has_completed_if_its_result_of_before_is_taken(
    runner, place
):
    def version(number):
        @task
        def work(x):
            note(place, f"{number}: {x}")
            return x + 1 // number

        @flow(persist_result=True)
        def changing():
            found = [*work.map(range(3)), work.submit(3)]
            wait(found)
            if number == 0 or fails_once(place, "changing"):
                raise Flaw
            return [future.result() for future in found]

        return changing

    with pytest.raises(Flaw):
        version(1)()
    (run,) = records.runs(flow_name="changing")
    with pytest.raises(Flaw):
        version(0).resume(run.id)
    assert [node.counts for node in run.nodes()] == [{"Failed": 3}, {"Failed": 1}]
    assert version(1).resume(run.id) == [1, 2, 3, 4]
    assert [node.counts for node in run.nodes()] == [{"Completed": 3}, {"Completed": 1}]
    assert run.failures() == []
    assert set(done(place).values()) == {1}


def test_code_that_changed_is_run_again_unless_asked_otherwise(runner, place):
    def version(number, breaks_off):
        @task(persist_result=True)
        def work(x):
            note(place, f"{number}: {x}")
            return x + number

        @flow
        def changing():
            found = work.map(range(3)).result()
            if breaks_off:
                raise Flaw
            return found

        return changing

    for reuse, expected in ((False, [2, 3, 4]), (True, [1, 2, 3])):
        with pytest.raises(Flaw):
            version(1, True)()
        run_id = records.runs(flow_name="changing")[0].id
        assert version(2, False).resume(run_id, reuse_changed=reuse) == expected
        lines = [line.message for line in records.get_run(run_id).logs()]
        assert any("code has changed" in line for line in lines) is not reuse


def test_other_inputs_are_not_taken_for_the_same(runner, place):
    state = Path(place + "-shift")
    state.write_text("0")

    @flow(persist_result=True)
    def shifting():
        shift = int(state.read_text())
        found = stage.map([x + shift for x in range(4)], unmapped(place)).result()
        breaks(1, place)
        return found

    with pytest.raises(Flaw):
        shifting()
    state.write_text("2")
    assert shifting.resume(only_run(shifting).name) == [3, 4, 5, 6]
    assert any("other inputs" in line.message for line in only_run(shifting).logs())


@task(cache_policy=INPUTS, persist_result=True)
def price(x):
    return 10 * x


@flow
def knows_prices():
    return price.map(range(3)).result()


def test_what_was_cached_stays_cached_and_is_recorded_once(runner, place):
    seen = []

    @flow(persist_result=True)
    def takes_prices():
        own = price.map(range(6))  # some of them another run's
        own.wait()
        later = price.map(range(6))
        single = price.submit(5)
        for found in (own, later, [single]):
            wait(found)
            seen.append([future.state.name for future in found])
        seen.append([price(4, return_state=True).name])
        breaks(1, place)
        return own

    knows_prices()
    with pytest.raises(Flaw):
        takes_prices()
    takes_prices.resume(only_run(takes_prices).id)
    before, after = seen[:4], seen[4:]
    assert before == [["Cached"] * 3 + ["Completed"] * 3, ["Cached"] * 6, ["Cached"], ["Cached"]]
    assert after == before
    run = only_run(takes_prices)
    recorded = [element for element, _ in completions_of(run)]
    assert len(recorded) == len(set(recorded)) == 6 + 6 + 1 + 1 + 1
    assert [node.counts for node in run.nodes()] == [
        {"Completed": 3, "Cached": 3},
        {"Cached": 6},
        {"Cached": 1},
        {"Cached": 1},
        {"Completed": 1},
    ]


@task(cache_policy=INPUTS.configure(isolation="serializable"))
def scarce(x):
    time.sleep(0.3)
    return x


def test_calls_that_wait_for_others_are_counted_once(runner, place):
    @flow(persist_result=True)
    def waits_for_its_own():
        breaks(1, place)
        return scarce.map([0, 1, 0, 1, 1]).result()

    with pytest.raises(Flaw):
        waits_for_its_own()
    assert waits_for_its_own.resume(only_run(waits_for_its_own).id) == [0, 1, 0, 1, 1]
    lines = [each.message for each in only_run(waits_for_its_own).logs()]
    reused = "0 results of before reused"
    assert f"Resumed: {reused}; computed: 6 had not finished before" in lines


def test_results_that_were_not_kept_are_computed_again(runner, place):
    @flow
    def half_kept():
        kept = stage.with_options(persist_result=True).map(range(3), unmapped(place)).result()
        lost = double.map(kept, unmapped(place)).result()
        breaks(1, place)
        return lost

    with pytest.raises(Flaw):
        half_kept()
    assert half_kept.resume(only_run(half_kept).id) == [2, 4, 6]
    effects = done(place)
    assert [effects[f"stage {x}"] for x in range(3)] == [1, 1, 1]
    assert [effects[f"double {x}"] for x in (1, 2, 3)] == [2, 2, 2]
    assert only_run(half_kept).nodes()[1].counts == {"Completed": 3}
    (line,) = [each.message for each in only_run(half_kept).logs() if "Resumed" in each.message]
    assert "3 results of before reused" in line
    assert "3 had not been kept (persist_result=True keeps them)" in line


def test_a_damaged_result_is_computed_again(runner, place, home):
    with pytest.raises(Flaw):
        pipeline(place, 8)
    for path in (home / "results").rglob("*"):
        if path.is_file() and path.name != "parameters":
            path.write_bytes(b"no result")
    assert pipeline.resume(only_run(pipeline).id) == (56, 20)
    assert any("gone or damaged" in line.message for line in only_run(pipeline).logs())


# --- subflows -------------------------------------------------------------------------------------


@flow
def child(start, place):
    return total(stage.map(range(start, start + 3), unmapped(place)).result(), place)


@flow(persist_result=True)
def parent(place):
    first = child(0, place)
    breaks(1, place)
    return first, child(10, place)


def test_subflows_that_completed_are_not_run_again(runner, place):
    with pytest.raises(Flaw):
        parent(place)
    before = records.runs(flow_name="child")
    run = only_run(parent)
    assert parent.resume(run.id) == (6, 36)
    assert set(done(place).values()) == {1, 2}
    assert done(place)["total"] == 2
    after = records.runs(flow_name="child")
    assert len(after) == 2
    assert before[0] in after
    children = {node.child_run_id for node in run.nodes() if node.kind == "flow"}
    assert children == {each.id for each in after}


def test_a_subflow_that_completed_as_its_parent_was_killed(runner, place, monkeypatch):
    with monkeypatch.context() as patch:  # the end of the node is the next thing to be recorded
        patch.setattr("dataflow.execution.flow_runs.flow_run.subflow_record", lambda *_: ([], []))
        with pytest.raises(Flaw):
            parent(place)
    (node,) = [node for node in only_run(parent).nodes() if node.kind == "flow"]
    assert not node.counts
    assert parent.resume(only_run(parent).id) == (6, 36)
    nodes = [node for node in only_run(parent).nodes() if node.kind == "flow"]
    assert [node.counts for node in nodes] == [{"Completed": 1}] * 2
    assert len(records.runs(flow_name="child")) == 2


@flow
def broken_child(place):
    found = stage.map(range(4), unmapped(place)).result()
    breaks(1, place)
    return sum(found)


@flow(persist_result=True)
def parent_of_broken(place):
    return broken_child(place)


def test_subflows_that_failed_go_on(runner, place):
    with pytest.raises(Flaw):
        parent_of_broken(place)
    assert parent_of_broken.resume(only_run(parent_of_broken).id) == 10
    assert set(done(place).values()) == {1}
    assert only_run(broken_child).state.is_completed()


# --- retries of flows -----------------------------------------------------------------------------


@flow(persist_result=True, retries=2)
def tried_again(place):
    found = stage.map(range(6), unmapped(place))
    doubled = double.map(range(6, 9), unmapped(place))
    return total.submit([*found, *doubled], place).result()


def test_a_retry_of_a_flow_takes_what_it_had_finished(runner, place):
    assert tried_again(place) == 21 + 12 + 14 + 16
    assert set(done(place).values()) == {1}
    run = only_run(tried_again)
    assert run.summary.run_count == 2
    assert {node.key: node.counts for node in run.nodes()} == {
        "stage-0": {"Completed": 6},
        "double-0": {"Completed": 3},
        "total-0": {"Completed": 1},
    }


def test_what_failed_unseen_in_an_earlier_attempt_is_forgotten(runner, place):
    @flow(persist_result=True, retries=1)
    def unseen():
        double.map(range(6, 9), unmapped(place))

    unseen()
    assert only_run(unseen).state.is_completed()


@task(retries=2)
def hesitant(x, place):
    note(place, f"hesitant {x}")
    if done(place)[f"hesitant {x}"] <= 3 * (x > 0):
        raise Flaw
    return x


def test_what_needs_fewer_attempts_than_before_has_completed(runner, place):
    @flow(persist_result=True)
    def hesitates():
        wait(found := [*hesitant.map(range(3), unmapped(place)), hesitant.submit(3, place)])
        return [future.result() for future in found]

    with pytest.raises(Flaw):
        hesitates()
    assert only_run(hesitates).nodes()[0].counts == {"Completed": 1, "Failed": 2}
    assert hesitates.resume(only_run(hesitates).id) == [0, 1, 2, 3]
    run = only_run(hesitates)
    assert [node.counts for node in run.nodes()] == [{"Completed": 3}, {"Completed": 1}]
    assert run.failures() == []
    for element in (run.element("hesitant-0", 2), run.element("hesitant-1")):
        assert [attempt.state.name for attempt in element.attempts] == ["Completed"]


def test_a_resumed_run_may_be_tried_again_as_often_as_a_new_one(runner, place):
    attempts = []

    @flow(persist_result=True, retries=1)
    def stubborn():
        attempts.append(len(attempts))
        stage.map(range(3), unmapped(place)).wait()
        if len(attempts) < 4:
            raise Flaw

    with pytest.raises(Flaw):
        stubborn()
    stubborn.resume(only_run(stubborn).id)
    assert len(attempts) == 4
    assert set(done(place).values()) == {1}


# --- async flows ----------------------------------------------------------------------------------


@flow(persist_result=True)
async def asynchronous(place):
    found = stage.map(range(4), unmapped(place)).result()
    breaks(1, place)
    return sum(found)


def test_async_flows_go_on(runner, place):
    with pytest.raises(Flaw):
        asyncio.run(asynchronous(place))
    assert asyncio.run(asynchronous.resume(only_run(asynchronous).id)) == 10
    assert set(done(place).values()) == {1}


# --- parameters -----------------------------------------------------------------------------------


class Settings:
    def __init__(self, factor):
        self.factor = factor


@flow(persist_result=True)
def with_objects(settings, place: Path):
    found = stage.map(range(settings.factor), unmapped(str(place))).result()
    breaks(1, str(place))
    return found


def with_a_list(n: list):
    return n


def test_parameters_that_are_no_json_are_kept_as_well(runner, place):
    with pytest.raises(Flaw):
        with_objects(Settings(3), Path(place))
    assert with_objects.resume(only_run(with_objects).id) == [1, 2, 3]
    assert set(done(place).values()) == {1}


@flow
def unkept(day: date, window: tuple[int, float], place: Path, other: object = None):
    stage(1, str(place))
    breaks(1, str(place))
    return day, window, other


def test_types_make_of_json_what_was_given(runner, place):
    with pytest.raises(Flaw):
        unkept(date(2013, 1, 31), (1, 0.5), Path(place))
    found = unkept.resume(only_run(unkept).id)
    assert found == (date(2013, 1, 31), (1, 0.5), None)


@pytest.mark.parametrize("given", [(1, 2), date(2013, 1, 31), "x" * 5000, b"x", float("nan")])
def test_a_run_goes_on_with_what_it_was_given_or_not_at_all(place, given):
    with pytest.raises(Flaw):
        unkept(date(2013, 1, 31), (1, 0.5), Path(place), given)
    run = only_run(unkept)
    with pytest.raises(ResumeError, match="'other' there is only what the store") as caught:
        unkept.resume(run.id)
    assert "persist_result=True" in str(caught.value.hint)
    assert run.refresh().states() == run.states()
    assert done(place)["stage 1"] == 1
    kept = unkept.with_options(persist_result=True)
    with pytest.raises(Flaw):
        kept(date(2013, 1, 31), (1, 0.5), Path(f"{place}-kept"), given)
    assert repr(kept.resume(records.runs()[0].id)[2]) == repr(given)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        (lambda m=3: m, "has no parameter 'n'"),
        (lambda: 3, "has no parameter 'n'"),
        (lambda n, m: n, "needs 'm'"),
        (with_a_list, "n: expected list"),
    ],
)
def test_a_flow_whose_parameters_have_changed_is_told(changed, said):
    @flow(name="changes", persist_result=True)
    def before(n):
        raise Flaw

    with pytest.raises(Flaw):
        before(7)
    run = only_run(before)
    with pytest.raises(ResumeError, match=said) as caught:
        flow(changed, name="changes", persist_result=True).resume(run.id)
    assert "{'n': 7}" in str(caught.value)
    assert run.refresh().parameters == {"n": 7}
    assert run.refresh().state == run.state
    with_more = flow(lambda **more: more, name="changes", persist_result=True)
    assert with_more.resume(run.id) == {"n": 7}


# --- what cannot go on ----------------------------------------------------------------------------


def test_what_cannot_be_resumed_is_refused(runner, place):
    with pytest.raises(RunNotFound, match=r"in the store .*dataflow\.db"):
        pipeline.resume("no-such-run")
    tried_again(place)
    with pytest.raises(ResumeError, match="nothing to resume"):
        tried_again.resume(only_run(tried_again).id)
    with pytest.raises(ResumeError, match="of the flow 'tried-again'") as caught:
        pipeline.resume(only_run(tried_again).id)
    assert "@flow(name='tried-again')" in str(caught.value)


def test_a_run_that_is_under_way_is_not_resumed(runner):
    @flow
    def busy():
        with pytest.raises(ResumeError, match="still Running"):
            busy.resume(only_run(busy).id)

    busy()


# --- killed ---------------------------------------------------------------------------------------

PROGRAM = """
import os, signal, sys
from dataflow import flow, task, unmapped
from tests.runners.effects import note

@task
def work(x, place):
    note(place, x)
    return x * x

@flow(persist_result=True)
def killed(place: str):
    found = work.map(range(200), unmapped(place))
    more = work.map(found, unmapped(place + "-more"))
    more[20].wait()
    if "KILL" in os.environ:
        os.kill(os.getpid(), signal.SIGKILL)
    return sum(more.result())

if __name__ == "__main__":
    killed(sys.argv[1])
"""


def test_a_killed_run_is_resumed_from_the_command_line(runner, place, home, tmp_path):
    file = tmp_path / "killed_flow.py"
    file.write_text(PROGRAM)
    environment = {
        **os.environ,
        "DATAFLOW_HOME": str(home),
        "PYTHONPATH": str(Path(__file__).parents[2]),
    }
    command = [sys.executable, str(file), place]
    died = subprocess.run(command, env={**environment, "KILL": "1"}, check=False)
    assert died.returncode == -signal.SIGKILL
    run = records.runs(flow_name="killed")[0]
    announced = run.nodes()[1].counts.get("Completed", 0)
    assert announced
    known = {index for row in run._store.results(run.id) if row.node == 0 for index in row.elements}
    before = done(place)
    resume = [sys.executable, "-m", "dataflow", "runs", "resume", run.id, "--json"]
    shown = subprocess.run(resume, env=environment, check=True, capture_output=True, text=True)
    assert f'"result": {sum(x**4 for x in range(200))}' in shown.stdout
    after = done(place)
    assert all(before[str(index)] == after[str(index)] for index in known)
    assert [node.counts for node in run.refresh().nodes()] == [{"Completed": 200}] * 2
