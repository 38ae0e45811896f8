"""Runs that processes have in common: who drives them, who cancels them, and who has vanished."""

from __future__ import annotations

import contextlib
import itertools
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from dataflow.model.records import AS_A_WHOLE, THE_RUN, DueHooksRecord, RunStateRecord
from dataflow.model.states import StateCode
from dataflow.process_ids import ProcessId, is_gone, this_process
from dataflow.store.run_control import MISSED_SECONDS
from dataflow.store.run_store import RunStore, open_store
from tests.store.samples import run_record

GONE = this_process()._replace(started="1")
ELSEWHERE = ProcessId("another-machine", 17, "99")


def state(run_id: str, code: StateCode, ns: int = 0, run_count: int = 1) -> RunStateRecord:
    return RunStateRecord(run_id, code, code.state_name, None, ns or time.time_ns(), run_count)


def add(store: RunStore, run_id: str, driver: ProcessId | None, **more) -> None:
    run = run_record(run_id, driver=driver, created_ns=time.time_ns(), **more)
    store.write([run, state(run_id, StateCode.RUNNING)])


def name_of(store: RunStore, run_id: str) -> str:
    return store.run(run_id).state.name


def test_a_process_that_lives_is_told_from_one_that_had_its_number() -> None:
    me = this_process()
    assert is_gone(me) is False
    assert is_gone(me._replace(started="1")) is True
    assert is_gone(ELSEWHERE) is None


def test_a_process_that_has_ended_is_gone_also_while_nobody_has_buried_it() -> None:
    code = "from dataflow.process_ids import this_process; print(*this_process(), flush=True)"
    with subprocess.Popen(
        [sys.executable, "-c", f"{code}; input()"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as child:
        assert child.stdin is not None and child.stdout is not None
        place, pid, started = child.stdout.readline().split()
        process = ProcessId(place, int(pid), started)
        assert process.pid == child.pid and process.place == this_process().place
        assert is_gone(process) is False
        child.kill()
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        assert is_gone(process) is True


def test_a_run_is_driven_until_it_ends(store: RunStore) -> None:
    add(store, "a", this_process())
    add(store, "inside", None)
    assert store.control.driver("a") == this_process()
    assert store.control.driver("inside") is None
    store.write([state("a", StateCode.COMPLETED)])
    assert store.control.driver("a") is None


def test_a_run_that_goes_on_is_driven_by_who_took_it_up(store: RunStore) -> None:
    add(store, "a", GONE)
    again = run_record("a", driver=this_process(), created_ns=time.time_ns())
    codes = (StateCode.CRASHED, StateCode.RESUMING, StateCode.RUNNING)
    store.write([again, *(state("a", code) for code in codes)])
    assert store.control.driver("a") == this_process()
    assert store.control.wanted(this_process()) == []
    assert store.control.crash_vanished() == []


def test_a_suspended_run_is_driven_by_nobody_and_does_not_crash(store: RunStore) -> None:
    add(store, "a", this_process())
    store.write([state("a", StateCode.SUSPENDED)])
    assert store.control.driver("a") is None
    assert store.control.crash_vanished() == []
    assert name_of(store, "a") == "Suspended"


def test_of_many_who_take_a_run_up_one_does(store: RunStore) -> None:
    add(store, "a", None)
    assert store.control.take_up("a", ELSEWHERE) is None
    assert store.control.take_up("a", this_process()) == ELSEWHERE
    store.control.give_up("a", this_process())  # it is not its own
    assert store.control.driver("a") == ELSEWHERE
    store.control.give_up("a", ELSEWHERE)
    assert store.control.take_up("a", this_process()) is None


def test_only_runs_whose_process_is_gone_are_crashed(store: RunStore) -> None:
    add(store, "mine", this_process())
    add(store, "gone", GONE)
    add(store, "inside", None, parent_run_id="gone")
    add(store, "inner", None, parent_run_id="inside")
    add(store, "nobody's", None)
    add(store, "elsewhere", ELSEWHERE)
    assert store.control.crash_vanished() == ["gone"]
    assert store.control.crash_vanished() == []
    found = {name: name_of(store, name) for name in ("mine", "inside", "inner", "nobody's")}
    assert found == {
        "mine": "Running",
        "inside": "Crashed",
        "inner": "Crashed",
        "nobody's": "Running",
    }
    assert name_of(store, "elsewhere") == "Running"
    assert "process" in (store.run("gone").state.message or "")


def test_a_process_of_another_place_is_gone_when_it_was_not_heard_of(
    store: RunStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    long_ago = time.time_ns() - int((MISSED_SECONDS + 1) * 1e9)
    with monkeypatch.context() as patch:
        patch.setattr("dataflow.store.record_rows.store_now_ns", lambda _: long_ago)
        add(store, "quiet", ELSEWHERE)
        add(store, "lives", ELSEWHERE._replace(pid=18))
    store.control.beat(ELSEWHERE._replace(pid=18))
    assert store.control.crash_vanished() == ["quiet"]
    assert name_of(store, "lives") == "Running"


def test_of_many_who_look_one_finds_a_crashed_run(store: RunStore, place: str) -> None:
    stores = [open_store(place) for _ in range(4)]
    for number in range(20):
        add(store, f"run-{number}", GONE, hooks=(int(StateCode.CRASHED),))
    found: list[str] = []
    claimed: list[str] = []
    barrier = threading.Barrier(len(stores))

    def look(each: RunStore) -> None:
        barrier.wait()
        found.extend(each.control.crash_vanished())
        for name in [f"run-{number}" for number in range(20)]:
            for left in each.control.due_hooks(name):
                claimed.extend([name] * each.control.claim_hook(left, None))

    threads = [threading.Thread(target=look, args=(each,)) for each in stores]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == sorted(claimed) == sorted(f"run-{number}" for number in range(20))
    assert store.control.runs_with_due_hooks() == []
    for each in stores:
        each.close()


def test_hooks_are_due_only_where_a_flow_has_such(store: RunStore) -> None:
    add(store, "with", GONE, hooks=(int(StateCode.CRASHED),))
    add(store, "others", GONE, hooks=(int(StateCode.COMPLETED), int(StateCode.CANCELLED)))
    add(store, "without", GONE)
    store.control.crash_vanished()
    assert store.control.runs_with_due_hooks() == ["with"]
    (left,) = store.control.due_hooks("with")
    assert (left.node, left.element, left.code) == (THE_RUN, None, StateCode.CRASHED)


def of_run(run_id: str, code: StateCode, number: int = 1) -> DueHooksRecord:
    return DueHooksRecord(run_id, number, THE_RUN, AS_A_WHOLE, 0, int(code), 1)


def test_a_run_is_driven_until_its_own_last_hook_is_claimed(store: RunStore) -> None:
    add(store, "a", this_process())
    ended = StateCode.COMPLETED
    store.write([of_run("a", StateCode.RUNNING, 1)])
    (running,) = store.control.due_hooks("a")
    assert store.control.claim_hook(running, None)
    assert store.control.driver("a") == this_process()
    store.write([state("a", ended), of_run("a", ended, 2), due("a", 3)])
    first = store.control.due_hooks("a")[0]
    second = first.after_next(2)
    assert store.control.claim_hook(first, second)
    assert store.control.driver("a") == this_process()
    assert store.control.runs_with_due_hooks() == []
    assert second is not None and store.control.claim_hook(second, None)
    assert store.control.driver("a") is None


def test_hooks_of_a_run_are_left_when_its_process_is_gone(store: RunStore) -> None:
    """It had ended, and does not end a second time; its hooks for that are the only ones due."""
    ended = StateCode.FAILED
    add(store, "a", GONE, hooks=(int(ended), int(StateCode.CRASHED)))
    store.write([state("a", ended), of_run("a", ended)])
    assert store.control.crash_vanished() == []
    assert name_of(store, "a") == "Failed"
    assert store.control.driver("a") is None
    assert store.control.runs_with_due_hooks() == ["a"]
    assert store.control.due_hooks("a") == [of_run("a", ended)]


def test_claiming_a_hook_that_was_left_does_not_take_a_run_from_its_driver(
    store: RunStore,
) -> None:
    ended = StateCode.FAILED
    add(store, "a", GONE)
    store.write([state("a", ended), of_run("a", ended)])
    store.control.crash_vanished()
    assert store.control.take_up("a", this_process()) is None
    store.write([state("a", StateCode.RESUMING), state("a", StateCode.RUNNING)])
    assert store.control.claim_hook(of_run("a", ended), None)
    assert store.control.driver("a") == this_process()


def test_a_run_that_nobody_drives_is_cancelled_by_who_asks(store: RunStore) -> None:
    add(store, "waits", this_process(), hooks=(int(StateCode.CANCELLED),))
    assert not store.control.cancel_undriven("waits", "so it is")
    store.write([state("waits", StateCode.SUSPENDED, run_count=3)])
    assert store.control.cancel_undriven("waits", "so it is")
    assert not store.control.cancel_undriven("waits", "once more")
    found = store.run("waits")
    assert (found.state.name, found.state.message) == ("Cancelled", "so it is")
    assert found.run_count == 3
    (left,) = store.control.due_hooks("waits")
    assert (left.code, left.attempt) == (StateCode.CANCELLED, 3)


def test_a_run_that_is_paused_is_resumed_once(store: RunStore) -> None:
    add(store, "waits", this_process())
    assert not store.control.resume_paused("waits", "early")
    store.write([state("waits", StateCode.PAUSED, run_count=2)])
    assert store.control.resume_paused("waits", "5")
    found = store.run("waits")
    assert (found.state.name, found.state.message, found.run_count) == ("Resuming", "5", 2)
    assert not store.control.resume_paused("waits", "once more")


@pytest.mark.parametrize("end", [StateCode.COMPLETED, StateCode.FAILED])
def test_what_has_ended_meanwhile_is_not_resumed(store: RunStore, end: StateCode) -> None:
    add(store, "ended", this_process())
    store.write([state("ended", StateCode.PAUSED), state("ended", StateCode.FAILED)])
    store.write([state("ended", StateCode.RESUMING), state("ended", end)])
    assert not store.control.resume_paused("ended", None)
    assert name_of(store, "ended") == end.state_name


def test_a_run_crashes_in_the_attempt_that_it_is_in(store: RunStore) -> None:
    add(store, "a", GONE)
    store.write([state("a", StateCode.RETRYING, run_count=2)])
    assert store.control.crash_vanished() == ["a"]
    assert store.run("a").run_count == 2
    assert [each.name for each in store.run_states("a", 2)] == ["Retrying", "Crashed"]


def test_who_drives_a_run_sees_that_it_is_to_be_cancelled(store: RunStore, place: str) -> None:
    add(store, "a", this_process())
    add(store, "b", ELSEWHERE)
    before = store.control.version()
    other = open_store(place)
    other.write([state("a", StateCode.CANCELLING), state("b", StateCode.CANCELLING)])
    assert store.control.version() != before
    assert store.control.wanted(this_process()) == [("a", int(StateCode.CANCELLING), None)]
    other.write([state("a", StateCode.CANCELLED)])
    assert store.control.wanted(this_process()) == []
    other.close()


@pytest.mark.parametrize("code", [StateCode.CANCELLED, StateCode.CRASHED])
def test_what_is_below_a_run_and_driven_by_nobody_ends_with_it(
    store: RunStore, code: StateCode
) -> None:
    add(store, "a", this_process())
    add(store, "inside", None, parent_run_id="a")
    add(store, "driven", this_process(), parent_run_id="a")
    add(store, "done", None, parent_run_id="a")
    store.write([state("done", StateCode.COMPLETED)])
    store.control.end_below("a", int(code), "so it is")
    store.control.end_below("a", int(code), "so it is")
    assert name_of(store, "inside") == code.state_name
    assert name_of(store, "driven") == "Running"
    assert name_of(store, "done") == "Completed"


def test_a_file_in_which_nobody_writes_stays_at_its_version(tmp_path: Path) -> None:
    with contextlib.closing(open_store(tmp_path / "runs.db")) as store:
        before = store.control.version()
        store.control.runs_with_due_hooks()
        assert store.control.version() == before


def test_a_transaction_is_known_once_it_was_committed(store: RunStore) -> None:
    assert not store.control.has_committed("key")
    store.control.note_committed("key", "a")
    store.control.note_committed("key", "b")
    assert store.control.has_committed("key")


def due(run_id: str, number: int, start: int = 0, stop: int = 3) -> DueHooksRecord:
    return DueHooksRecord(run_id, number, 7, start, stop, int(StateCode.COMPLETED), 1)


def test_hooks_of_tasks_are_due_when_nobody_drives_their_run(store: RunStore) -> None:
    add(store, "driven", this_process())
    add(store, "gone", GONE)
    add(store, "quiet", GONE)
    store.write([due("driven", 1), due("gone", 2), due("gone", 1, AS_A_WHOLE, 0)])
    assert store.control.runs_with_due_hooks() == []
    store.control.crash_vanished()
    assert store.control.runs_with_due_hooks() == ["gone"]
    found = store.control.due_hooks("gone")
    assert found == [due("gone", 1, AS_A_WHOLE, 0), due("gone", 2)]
    assert [each.element for each in found] == [None, 0]
    assert store.control.due_hooks("driven") == [due("driven", 1)]


def test_each_hook_of_a_task_is_claimed_once(store: RunStore, place: str) -> None:
    add(store, "run", None)
    stores = [open_store(place) for _ in range(3)]
    for number in range(4):
        store.write([due("run", number)])
    claimed: list[tuple[int, int, int]] = []
    barrier = threading.Barrier(len(stores))

    def call(each: RunStore) -> None:
        barrier.wait()
        for left in each.control.due_hooks("run"):
            rest: DueHooksRecord | None = left
            while rest is not None:
                each_due, rest = rest, rest.after_next(hooks=2)
                if each.control.claim_hook(each_due, rest):
                    claimed.append((each_due.number, each_due.start, each_due.called))

    threads = [threading.Thread(target=call, args=(each,)) for each in stores]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for each in stores:
        each.close()
    places = itertools.product(range(4), range(3), range(2))
    assert sorted(claimed) == list(places)
    assert not store.control.due_hooks("run") and not store.control.runs_with_due_hooks()


def test_a_hook_that_was_claimed_is_not_due_when_its_claimer_dies(store: RunStore) -> None:
    add(store, "run", None)
    store.write([due("run", 1)])
    (first,) = store.control.due_hooks("run")
    second = first.after_next(hooks=1)
    assert second is not None
    assert store.control.claim_hook(first, second)
    assert store.control.due_hooks("run") == [second]
    assert not store.control.claim_hook(first, second)
    assert second.start == 1
