"""Hooks: called once for each state that a run enters, whatever happens to its batch."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dataflow import Completed, Failed, flow, records, task
from dataflow.cache_policies import INPUTS
from dataflow.model.states import StateCode
from tests.runners.conftest import BATCHES, RUNNERS
from tests.runners.effects import fails_once
from tests.runners.stored import run_of

_called: list[tuple[str, str, int, Any]] = []
KINDS = ("on_running", "on_completion", "on_failure", "on_cancellation", "on_crashed")


def _note(kind: str) -> Any:
    def hook(owner: Any, run: Any, state: Any) -> None:
        _called.append((kind.removeprefix("on_"), run.name, run.run_count, state))

    return hook


NOTES: dict[str, Any] = {kind: [_note(kind)] for kind in KINDS}


@pytest.fixture(autouse=True)
def called() -> Iterator[None]:
    """Afterwards no hook is due any more: each was claimed when it was called."""
    _called.clear()
    yield
    for run in records.runs(limit=None):
        assert run._store.control.due_hooks(run.id) == []


def of(name: str) -> list[str]:
    """What the hooks of one run were told, in order."""
    return [f"{kind} {count}" for kind, run, count, _ in _called if run == name]


def assert_all_once() -> None:
    told = Counter((kind, run, count) for kind, run, count, _ in _called)
    assert not {each: times for each, times in told.items() if times > 1}


@task(**NOTES)
def works(x: int) -> int:
    if x == 13:
        raise ValueError("thirteen")
    return x


@task(**NOTES)
def needs(x: int) -> int:
    return x


@pytest.mark.parametrize("runner", [*RUNNERS, *BATCHES], indirect=True)
def test_chains_of_maps(runner: str) -> None:
    @flow(fail_on_unhandled=False)
    def chains() -> None:
        needs.map(works.map(range(40)))

    chains()
    assert_all_once()
    for at in range(40):
        if at == 13:
            assert of("works-0[13]") == ["running 1", "failure 1"]
            assert of("needs-0[13]") == []  # NotReady: it never began, and did not fail
        else:
            assert of(f"works-0[{at}]") == of(f"needs-0[{at}]") == ["running 1", "completion 1"]


@pytest.mark.parametrize("runner", [*RUNNERS, *BATCHES], indirect=True)
def test_chains_of_calls(runner: str) -> None:
    @flow(fail_on_unhandled=False)
    def calls() -> None:
        for x in (1, 13):
            needs.submit(needs.submit(works.submit(x)))

    calls()
    assert_all_once()
    assert of("works-0") == of("needs-0") == of("needs-1") == ["running 1", "completion 1"]
    assert of("works-1") == ["running 1", "failure 1"]
    assert of("needs-2") == of("needs-3") == []


def test_values_are_there_for_hooks(runner: str) -> None:
    @flow
    def dropped() -> None:
        works.submit(1)  # nobody can ask for these values but the hooks
        works.map([2, 3])
        needs.submit(works.submit(4))

    dropped()
    found = {run: state.result() for kind, run, _, state in _called if kind == "completion"}
    assert found == {"works-0": 1, "works-1[0]": 2, "works-1[1]": 3, "works-2": 4, "needs-0": 4}


@task(retries=2, **NOTES)
def stubborn(folder: str, x: int) -> int:
    return _try(folder, x)


@task(retries=2, retry_delay_seconds=0.01, **NOTES)
def patient(folder: str, x: int) -> int:
    return _try(folder, x)


@task(retries=2, retry_delay_seconds=0.01, **NOTES)
async def patient_async(folder: str, x: int) -> int:
    await asyncio.sleep(0)
    return _try(folder, x)


def _try(folder: str, x: int) -> int:
    """Fail until it has been tried ``x`` times."""
    with Path(folder, str(x)).open("a+") as file:
        file.write("x")
        file.flush()
        file.seek(0)
        if len(file.read()) < x:
            raise ConnectionError("not yet")
    return x


@pytest.mark.parametrize("tried", [stubborn, patient, patient_async], ids=lambda each: each.name)
@pytest.mark.parametrize("verb", ["submit", "map", "call"])
def test_each_attempt_is_told_of(runner: str, tmp_path: Path, tried: Any, verb: str) -> None:
    @flow(fail_on_unhandled=False)
    def again() -> None:
        if verb == "map":
            tried.map(str(tmp_path), [1, 2, 4])
        for x in (1, 2, 4) if verb != "map" else ():
            if verb == "submit":
                tried.submit(str(tmp_path), x)
            else:
                tried(str(tmp_path), x, return_state=True)

    again()
    assert_all_once()
    names = [f"{tried.name}-0[{at}]" if verb == "map" else f"{tried.name}-{at}" for at in range(3)]
    assert of(names[0]) == ["running 1", "completion 1"]
    assert of(names[1]) == ["running 1", "running 2", "completion 2"]
    assert of(names[2]) == ["running 1", "running 2", "running 3", "failure 3"]
    states = {state.name for kind, _, count, state in _called if kind == "running" and count > 1}
    assert states == {"Retrying"}


@task(timeout_seconds=0.2, **NOTES)
def endless() -> None:
    time.sleep(60)


def test_a_time_limit(runner: str) -> None:
    @flow(fail_on_unhandled=False)
    def late() -> None:
        endless.submit()
        endless(return_state=True)

    late()
    for name in ("endless-0", "endless-1"):
        assert of(name) == ["running 1", "failure 1"]
    assert {state.name for kind, _, _, state in _called if kind == "failure"} == {"TimedOut"}


@task(**NOTES)
def deadly(x: int) -> int:
    if x == 3:
        os._exit(7)
    return x


@pytest.mark.parametrize("runner", ["processes", "dask"], indirect=True)
def test_a_worker_that_dies(runner: str) -> None:
    @flow(fail_on_unhandled=False)
    def dies() -> None:
        deadly.map(range(8))
        deadly.submit(3)

    dies()
    assert_all_once()
    assert of("deadly-0[3]") == of("deadly-1") == ["running 1", "crashed 1"]
    for at in (0, 1, 2, 4, 5, 6, 7):
        assert of(f"deadly-0[{at}]") == ["running 1", "completion 1"]


@task(**NOTES)
def exits() -> None:
    raise SystemExit(1)


def test_system_exit_is_a_crash(runner: str) -> None:
    @flow(fail_on_unhandled=False)
    def leaves() -> None:
        exits.submit()
        exits(return_state=True)

    leaves()
    assert of("exits-0") == of("exits-1") == ["running 1", "crashed 1"]


@task(**NOTES)
def naps(folder: str, x: int) -> None:
    Path(folder, f"began-{x}").touch()
    while not Path(folder, "over").exists():
        time.sleep(0.01)


def _wait_for_any(folder: Path) -> None:
    """Wait until some call has begun: which it is depends on how long earlier ones took."""
    deadline = time.monotonic() + 60
    while not list(folder.glob("began-*")):
        assert time.monotonic() < deadline
        time.sleep(0.005)


@pytest.mark.parametrize("runner", ["threads", "processes", "dask"], indirect=True)
def test_cancelled_runs(runner: str, tmp_path: Path) -> None:
    @flow(**NOTES)
    def cancelled() -> None:
        naps.submit(str(tmp_path), 0)
        needs.submit(naps.submit(str(tmp_path), 1))
        works.map(naps.map(str(tmp_path), [2, 3, 4, 5, 6]))
        _wait_for_any(tmp_path)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cancelled()
    (tmp_path / "over").touch()
    run = run_of(cancelled)
    assert_all_once()
    assert of(run.name) == ["running 1", "cancellation 1"]
    heard = [of(name) for name in [f"naps-2[{at}]" for at in range(5)] + ["naps-0", "naps-1"]]
    assert ["running 1", "cancellation 1"] in heard
    assert all(each in ([], ["running 1", "cancellation 1"]) for each in heard)
    for name in [f"works-0[{at}]" for at in range(5)] + ["needs-0"]:
        assert of(name) == []  # nobody has heard of them
    assert len(run.nodes()) == 5
    assert all(set(node.counts) == {"Cancelled"} for node in run.nodes())


@task(**NOTES)
def interrupted() -> None:
    raise KeyboardInterrupt


@task(**NOTES)
def interrupted_items() -> Any:
    yield 1
    raise KeyboardInterrupt


def test_a_call_in_place_that_is_interrupted() -> None:
    @flow
    def stops() -> None:
        interrupted()

    @flow
    def stops_amid() -> None:
        list(interrupted_items())

    for each, name in ((stops, "interrupted-0"), (stops_amid, "interrupted_items-0")):
        with pytest.raises(KeyboardInterrupt):
            each()
        assert of(name) == ["running 1", "cancellation 1"]
        (node,) = run_of(each).nodes()
        assert node.counts == {"Cancelled": 1}
        assert "Ctrl-C" in (run_of(each).element(0).state.message or "")


@task(**NOTES)
async def sleeps() -> None:
    await asyncio.sleep(60)


def test_a_call_in_place_that_its_event_loop_cancels() -> None:
    @flow
    async def gives_up() -> str:
        try:
            await asyncio.wait_for(sleeps(), 0.05)
        except TimeoutError:
            return "gave up"
        return "no"

    assert asyncio.run(gives_up()) == "gave up"
    assert of("sleeps-0") == ["running 1", "cancellation 1"]
    assert run_of(gives_up).node("sleeps-0").counts == {"Cancelled": 1}


def test_a_map_that_cannot_begin(runner: str) -> None:
    @task
    def number() -> int:
        return 3

    @flow(fail_on_unhandled=False)
    def unmappable() -> None:
        works.map(number.submit())

    unmappable()
    assert of("works-0") == ["failure 1"]


def test_states_that_tasks_return(runner: str) -> None:
    @task(**NOTES)
    def says(x: int) -> Any:
        return Completed(name="Skipped") if x else Failed(message="no")

    @flow(fail_on_unhandled=False)
    def said() -> None:
        says.map([0, 1])

    said()
    assert of("says-0[0]") == ["running 1", "failure 1"]
    assert of("says-0[1]") == ["running 1", "completion 1"]
    assert [
        (state.name, state.message) for *_, state in _called if state.type.value == "FAILED"
    ] == [("Failed", "no")]


# --- hooks that misbehave ------------------------------------------------------------------------


def _exits(*_args: Any) -> None:
    raise SystemExit(3)


def _interrupts(*_args: Any) -> None:
    raise KeyboardInterrupt


async def _cancels(*_args: Any) -> None:
    raise asyncio.CancelledError


BAD: list[Any] = [_exits, _cancels, lambda task, run, state: 1 / 0, lambda: None]


def test_whatever_a_hook_raises_is_logged(runner: str) -> None:
    @task(on_completion=[*BAD, _interrupts, _note("on_completion")])
    def bad(x: int) -> int:
        return x

    @flow(on_running=BAD, on_completion=[*BAD, _note("on_completion")])
    def goes_on() -> list[int]:
        return bad.map([1, 2]).result()

    assert goes_on() == [1, 2]
    assert of("bad-0[0]") == of("bad-0[1]") == ["completion 1"]
    run = run_of(goes_on)
    assert of(run.name) == ["completion 1"]
    assert run.state.is_completed()
    said = [line.message for line in run.logs()]
    for kind in ("SystemExit", "CancelledError", "ZeroDivisionError", "TypeError"):
        assert sum(f"raised {kind}" in line for line in said) == 4
    assert sum("raised KeyboardInterrupt" in line for line in said) == 2


def test_the_flow_ends_after_the_hooks_of_its_tasks(runner: str) -> None:
    begun = threading.Event()

    def slow(task: Any, run: Any, state: Any) -> None:
        begun.set()
        time.sleep(0.1)
        _called.append(("slow", run.name, 1, state))

    @task(on_completion=[slow])
    def last() -> None:
        pass

    @flow(on_completion=[_note("on_completion")])
    def waits() -> None:
        last.submit()

    waits()
    assert begun.is_set()
    assert [kind for kind, *_ in _called] == ["slow", "completion"]


def test_a_hook_is_told_when_a_long_task_begins(runner: str, tmp_path: Path) -> None:
    if runner == "inline":
        pytest.skip("the body itself carries out the task")

    @task(on_running=[lambda task, run, state: (tmp_path / "over").touch()])
    def waits_for_its_hook(folder: str) -> bool:
        return _seen(folder)

    def _seen(folder: str) -> bool:
        deadline = time.monotonic() + 60
        while not Path(folder, "over").exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        return Path(folder, "over").exists()

    @flow
    def long() -> bool:
        return waits_for_its_hook.submit(str(tmp_path)).result()

    assert long() is True


# --- runs that go on, and results of others ------------------------------------------------------


@task(persist_result=True, **NOTES)
def kept(x: int, failed: str = "") -> int:
    if failed and x == 3 and fails_once(failed, "kept"):
        raise ConnectionError("not yet")
    return x


@task(persist_result=True, cache_policy=INPUTS, **NOTES)
def cached(x: int) -> int:
    return x


@task(persist_result=True, **NOTES)
async def kept_async(x: int) -> int:
    return x


KEPT = [
    *(f"kept-0[{at}]" for at in (0, 1, 2, 4, 5)),
    *(f"kept-{number}[{at}]" for number in (1, 2) for at in range(6)),
    "kept-3",
    "kept-4",
    "kept_async-0",
]
CACHED = ["cached-0[0]", "cached-0[1]", "cached-1", "cached-2"]


def _keep_all(folder: str) -> None:
    """All kinds of calls; one element fails the first time, all others have ended by then."""
    some = kept.map(range(6), folder)
    others = [kept.map(kept.map(range(6))), kept.submit(1), cached.map([1, 2]), cached.submit(3)]
    kept(2)
    _ = kept_async(3)  # a flow that is not async gets the value
    cached(4)
    for each in others:
        each.result()  # type: ignore[attr-defined]
    some.result()


def _assert_told_once() -> None:
    """Each run was told of once, but for the element that failed the first time."""
    for name in KEPT:
        assert of(name) == ["running 1", "completion 1"], name
    assert of("kept-0[3]") == ["running 1", "failure 1", "running 1", "completion 1"]


@pytest.mark.parametrize("runner", [*RUNNERS, *BATCHES], indirect=True)
def test_a_run_that_is_resumed(runner: str, tmp_path: Path) -> None:
    """What it had completed, itself or from the cache of another run, is not told of again."""

    @flow(**NOTES)
    def goes_on(folder: str) -> None:
        _keep_all(folder)

    @flow
    def fills_the_cache() -> None:
        cached.map([1, 2, 3, 4])

    fills_the_cache()
    _called.clear()
    with pytest.raises(ConnectionError):
        goes_on(str(tmp_path))
    run = run_of(goes_on)
    assert len(of(run.name)) == 2
    before = len(_called)
    goes_on.resume(run.id)
    _assert_told_once()
    assert [each[:3] for each in _called[before:]] == [
        ("running", run.name, 2),
        ("running", "kept-0[3]", 1),
        ("completion", "kept-0[3]", 1),
        ("completion", run.name, 2),
    ]
    for name in CACHED:
        assert of(name) == ["completion 1"]  # nobody has begun to make it
    assert {state.name for _, run, _, state in _called if run in CACHED} == {"Cached"}


def test_a_flow_that_is_tried_again_and_keeps_results(runner: str, tmp_path: Path) -> None:
    @flow(retries=1, persist_result=True)
    def tried(folder: str) -> None:
        _keep_all(folder)

    tried(str(tmp_path))
    _assert_told_once()
    for name in CACHED:
        assert of(name) == ["running 1", "completion 1"]


def test_what_is_computed_again_is_told_of_again(runner: str, tmp_path: Path) -> None:
    """Its inputs are others than before."""

    @flow
    def changing(folder: str) -> None:
        began = fails_once(folder, "inputs")
        kept.submit(1 if began else 2).result()
        kept.map([1, 2 if began else 3]).result()
        kept(5 if began else 6)
        if began:
            raise ConnectionError("not yet")

    with pytest.raises(ConnectionError):
        changing(str(tmp_path))
    changing.resume(run_of(changing).id)
    for name in ("kept-0", "kept-1[1]", "kept-2"):
        assert of(name) == ["running 1", "completion 1"] * 2
    assert of("kept-1[0]") == ["running 1", "completion 1"]


def test_a_call_in_place_that_cannot_have_a_key_has_not_begun() -> None:
    @flow
    def locked() -> None:
        cached(threading.Lock(), return_state=True)  # type: ignore[arg-type]

    locked()
    assert of("cached-0") == ["failure 1"]


# --- flows ---------------------------------------------------------------------------------------


def test_a_flow_that_is_retried() -> None:
    tries: list[int] = []

    @flow(retries=2, **NOTES)
    def again() -> None:
        tries.append(1)
        if len(tries) < 3:
            raise ConnectionError("not yet")

    again()
    name = run_of(again).name
    assert of(name) == ["running 1", "running 2", "running 3", "completion 3"]
    assert [state.name for *_, state in _called] == ["Running", "Retrying", "Retrying", "Completed"]


def test_subflows_in_place() -> None:
    @flow(**NOTES)
    def inner(fails: bool) -> None:
        if fails:
            raise ValueError("bad")

    @flow(**NOTES)
    def outer() -> None:
        inner(False)
        inner(True, return_state=True)

    outer()
    kinds = [kind for kind, *_ in _called]
    assert kinds == ["running", "running", "completion", "running", "failure", "completion"]


def _to_file(kind: str, folder: str) -> Any:
    def hook(flow: Any, run: Any, state: Any) -> None:
        with Path(folder, "hooks").open("a") as file:
            file.write(f"{kind} {run.flow_name} {state.name}\n")

    return hook


def test_submitted_flows(runner: str, tmp_path: Path) -> None:
    """Hooks of a flow that runs on a worker are called there."""
    lock = threading.Lock()

    def unsendable(*_args: Any) -> None:
        with lock:
            pass

    @flow(
        on_running=[_to_file("running", str(tmp_path))],
        on_completion=[_to_file("completion", str(tmp_path)), unsendable],
        on_failure=[_to_file("failure", str(tmp_path))],
    )
    def part(x: int) -> int:
        if x == 1:
            raise ValueError("one")
        return x

    @flow(fail_on_unhandled=False)
    def whole() -> None:
        part.submit(0)
        part.submit(1)

    whole()
    lines = (tmp_path / "hooks").read_text().splitlines()
    assert Counter(lines) == {
        "running part Running": 2,
        "completion part Completed": 1,
        "failure part Failed": 1,
    }


def test_rolled_back_is_told_of_by_nobody() -> None:
    from dataflow.execution.hooks.calling import hooks_for

    assert hooks_for(works, StateCode.COMPLETED)
    assert not hooks_for(works, StateCode.ROLLED_BACK)
