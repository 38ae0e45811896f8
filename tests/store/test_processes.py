"""Many processes and threads on one store at once, and processes that are killed."""

from __future__ import annotations

import contextlib
import random
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

import pytest

from dataflow.errors import InvalidTransition
from dataflow.model.states import StateCode
from dataflow.store.run_store import RunStore, open_store
from tests.store.programs import ROOT, SIZE, beginning, check_portions, portion, run_program
from tests.store.samples import fresh_run_id, log_record, run_state


@contextmanager
def writers(place: str, run_ids: list[str], portions: int) -> Iterator[list[subprocess.Popen]]:
    """Processes that write runs, all begun at the same moment."""
    command = [sys.executable, "-m", "tests.store.programs", "write", place]
    started = [
        subprocess.Popen(
            [*command, run_id, str(portions)],
            cwd=ROOT,
            text=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        for run_id in run_ids
    ]
    try:
        for process in started:
            assert read_line(process) == "ready\n"
        for process in started:
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        yield started
    finally:
        for process in started:
            process.kill()
            process.communicate()


def read_line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline()


def test_eight_processes_write_at_once_and_nothing_is_lost(place):
    run_ids = [fresh_run_id() for _ in range(8)]
    with writers(place, run_ids, 25) as processes:
        reader = open_store(place)
        seen = 0
        while any(process.poll() is None for process in processes):
            now = sum(node.recorded for node in reader.nodes(run_ids[0]))
            assert now >= seen
            assert now % (SIZE + 1) == 0
            seen = now
        for process in processes:
            _, errors = process.communicate()
            assert (process.returncode, errors) == (0, "")
    assert {run.state.name for run in reader.find_runs()} == {"Completed"}
    for run_id in run_ids:
        check_portions(reader, run_id, 25)
    reader.close()


@pytest.mark.parametrize("round_number", range(3))
def test_what_a_killed_process_had_written_is_there(place, round_number):
    run_ids = [fresh_run_id(), fresh_run_id()]
    with writers(place, run_ids, 100_000) as (victim, other):
        for _ in range(random.randint(1, 30)):
            announced = int(read_line(victim))
        victim.kill()
        assert victim.stdout is not None
        rest = victim.stdout.read()
        victim.wait()
        announced = max([announced, *map(int, rest.split())])
        after = int(read_line(other))
        while int(read_line(other)) < after + 5:
            pass  # the other one goes on
    store = open_store(place)
    stored = len(store.nodes(run_ids[0])) - 1
    assert stored in (announced + 1, announced + 2)
    check_portions(store, run_ids[0], stored)
    check_portions(store, run_ids[1], len(store.nodes(run_ids[1])) - 1)
    store.close()


def test_threads_read_while_one_writes(store):
    run_id = fresh_run_id()
    store.write(beginning(run_id))
    done = threading.Event()
    problems: list[BaseException] = []

    def read() -> None:
        try:
            while not done.is_set():
                nodes = store.nodes(run_id)
                assert nodes[0].recorded == SIZE * (len(nodes) - 1)
                assert len(store.logs(run_id)) % 5 == 0
        except BaseException as error:
            problems.append(error)

    threads = [threading.Thread(target=read) for _ in range(6)]
    for thread in threads:
        thread.start()
    for number in range(30):
        store.write(portion(run_id, number))
    done.set()
    for thread in threads:
        thread.join()
    assert not problems
    check_portions(store, run_id, 30)


def test_two_threads_may_write(store):
    run_ids = [fresh_run_id() for _ in range(4)]

    def write(run_id: str) -> None:
        store.write(beginning(run_id))
        for number in range(10):
            store.write(portion(run_id, number))

    threads = [threading.Thread(target=write, args=(run_id,)) for run_id in run_ids]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for run_id in run_ids:
        check_portions(store, run_id, 10)


def test_of_many_who_end_a_run_one_does(place):
    run_id = fresh_run_id()
    with contextlib.ExitStack() as stack:
        stores = [stack.enter_context(contextlib.closing(open_store(place))) for _ in range(6)]
        stores[0].write(beginning(run_id))
        codes = [StateCode.COMPLETED, StateCode.CANCELLED, StateCode.CRASHED] * 2
        outcomes: list[StateCode | None] = []

        def end(store: RunStore, code: StateCode) -> None:
            try:
                store.write([run_state(run_id, code)])
            except InvalidTransition:
                outcomes.append(None)
            else:
                outcomes.append(code)

        in_threads(end, zip(stores, codes, strict=True))
        (winner,) = [code for code in outcomes if code is not None]
        assert len(outcomes) == 6
        assert stores[0].run(run_id).state.code == winner
        assert len(stores[0].run_states(run_id)) == 2


def test_whoever_follows_the_log_of_a_run_misses_nothing(place):
    run_id, writers_of_lines, lines = fresh_run_id(), 5, 40
    with contextlib.ExitStack() as stack:
        stores = [
            stack.enter_context(contextlib.closing(open_store(place)))
            for _ in range(writers_of_lines + 1)
        ]

        def write(store: RunStore, name: int) -> None:
            for number in range(lines):
                store.write([log_record(run_id, f"{name}-{number}-{part}") for part in range(3)])

        seen: list[str] = []

        def follow(store: RunStore, _name: int) -> None:
            last = 0
            while len(seen) < writers_of_lines * lines * 3:
                new = store.logs(run_id, after=last)
                seen.extend(line.message for line in new)
                last = new[-1].id if new else last

        work = [(write, store, name) for name, store in enumerate(stores[1:])]
        in_threads(lambda act, *rest: act(*rest), [*work, (follow, stores[0], 0)])
    assert len(set(seen)) == len(seen)


def in_threads(action: Callable[..., None], calls: Iterable[tuple]) -> None:
    threads = [threading.Thread(target=action, args=call) for call in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def test_a_forked_child_has_connections_of_its_own(place):
    run_program("fork", place)
