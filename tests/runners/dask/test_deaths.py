"""What is told of a Dask worker that died: why, on which host, and the elements that it held."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cluster.connecting import connect
from dataflow import flow, records, task, unmapped
from runners.dask import DaskTaskRunner
from runners.dask.deaths import cause_in
from tests.chaos.dask_cluster import Cluster
from tests.runners.dask.pool import eventually, kill_workers
from tests.runners.programs import wait_until

ROOT = Path(__file__).parents[3]


class TwoWorkers(Cluster):
    """Dask's own scheduler and workers, two threads in all."""

    def options_on(self, place: object) -> Iterator[str]:
        yield from ("--memory-limit", "500MB")


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    found = TwoWorkers(tmp_path_factory.mktemp("cluster"), environment)
    yield found
    found.close()


def whole(cluster: Cluster) -> None:
    """Have both workers there, whatever was done to them."""

    def is_whole() -> bool:
        cluster.repair()  # a nanny may take its time to end
        return len(client.nthreads()) == 2

    client = connect(cluster.address)
    try:
        wait_until(is_whole, "a worker is missing")
    finally:
        client.close()


@task
def waits_once(number: int, folder: Path) -> int:
    """The third element tells who carries it out, and waits to be ended, the first time."""
    place = folder / "at-it"
    if number == 2 and not place.exists():
        (folder / "new").write_text(str(os.getpid()))
        (folder / "new").rename(place)
        taken = []
        for _ in range(600):
            if (folder / "exit").exists():
                os._exit(5)
            if (folder / "fill").exists():
                taken.append(b"x" * 50_000_000)
            time.sleep(0.05)
    return number


def troubled_run(
    trouble: Callable[[int, Path], object], runner: DaskTaskRunner, folder: Path
) -> None:
    """Run a flow; when its third element is under way, cause trouble."""

    def cause() -> None:
        wait_until((folder / "at-it").exists, "the element has not begun")
        trouble(int((folder / "at-it").read_text()), folder)

    @flow(name="troubled", task_runner=runner)
    def troubled() -> list[int]:
        threading.Thread(target=cause).start()
        waits = waits_once.with_options(batch_size=1)
        found: list[int] = waits.map(range(4), unmapped(folder)).result()
        return found

    assert troubled() == [0, 1, 2, 3]


def death_lines(name: str) -> list[str]:
    (run,) = records.runs(flow_name=name)
    lines = [line for line in run.logs() if line.logger == "dataflow.workers"]
    assert all(line.node is None for line in lines)
    return [line.message for line in lines]


def kill(pid: int, folder: Path) -> None:
    os.kill(pid, signal.SIGKILL)


def kill_nanny(pid: int, folder: Path) -> None:
    os.kill(parent_of(pid), signal.SIGKILL)


def end_nanny(pid: int, folder: Path) -> None:
    os.kill(parent_of(pid), signal.SIGTERM)


def parent_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


@pytest.mark.skipif(sys.platform != "linux", reason="parents are looked up in /proc")
@pytest.mark.parametrize(
    ("trouble", "cause"),
    [
        (kill, "it was ended by SIGKILL"),
        (lambda _, folder: (folder / "exit").touch(), "it exited with status 5"),
        (
            lambda _, folder: (folder / "fill").touch(),
            "its nanny ended it, as it had more than 95 % of its memory limit",
        ),
        (kill_nanny, "its connection to the scheduler was lost, and its nanny does not answer"),
        (end_nanny, "it was closed (signal-15)"),
    ],
    ids=["killed", "exits", "memory", "nanny killed", "nanny ended"],
)
def test_a_death_is_told(
    trouble: Callable[[int, Path], object], cause: str, cluster: Cluster, tmp_path: Path
) -> None:
    whole(cluster)
    with DaskTaskRunner(cluster.address) as runner:
        troubled_run(trouble, runner, tmp_path)
    assert eventually(lambda: death_lines("troubled"))  # written a moment after it has ended
    (told,) = death_lines("troubled")
    pid = (tmp_path / "at-it").read_text()
    assert f"(process {pid} on host 127.0.0.1) died: {cause}" in told
    assert ". It held waits_once-0[2]" in told


def test_what_was_handed_back_before_a_death_is_not_carried_out_again(
    cluster: Cluster, tmp_path: Path
) -> None:
    """Dask runs the whole batch again; what waited in it behind a slow call has gone elsewhere."""
    whole(cluster)

    def calls() -> Counter[str]:
        return Counter((tmp_path / "calls").read_text().split())

    with DaskTaskRunner(cluster.address) as runner:

        @flow(task_runner=runner)
        def cut() -> list[int]:
            futures = stuck_once.map(range(SIZE), unmapped(tmp_path))
            wait_until((tmp_path / "stuck").exists, "the element has not begun")
            wait_until(lambda: calls()[str(STUCK + 1)] > 0, "what is behind it waits for it")
            os.kill(int((tmp_path / "stuck").read_text()), signal.SIGKILL)
            found: list[int] = futures.result()
            return found

        assert cut() == list(range(SIZE))
    assert calls()[str(STUCK)] == 2
    assert [calls()[str(number)] for number in range(STUCK + 1, SIZE)] == [1] * (SIZE - STUCK - 1)


@task
def large(number: int, filling: bytes) -> bytes:
    return bytes([number]) * len(filling)


def test_values_are_made_again_though_all_that_had_their_constants_are_gone(
    cluster: Cluster,
) -> None:
    whole(cluster)
    with DaskTaskRunner(cluster.address) as runner:

        @flow(task_runner=runner)
        def lost() -> list[tuple[int, int]]:
            values = large.map(range(6), unmapped(b"x" * 200_000))
            values.wait()
            kill_workers(runner)
            return [(value[0], len(value)) for value in values.result()]

        assert lost() == [(number, 200_000) for number in range(6)]


SIZE, STUCK = 60, 20


@task
def stuck_once(number: int, folder: Path) -> int:
    """One element waits to be ended, the first time; each leaves a line."""
    with (folder / "calls").open("a") as calls:
        calls.write(f"{number}\n")
    place = folder / "stuck"
    if number == STUCK and not place.exists():
        (folder / "new").write_text(str(os.getpid()))
        (folder / "new").rename(place)
        time.sleep(60)
    time.sleep(0.005)
    return number


def test_a_death_at_the_end_of_a_line(tmp_path: Path) -> None:
    with DaskTaskRunner(cluster_kwargs={"n_workers": 1}) as runner:
        troubled_run(kill, runner, tmp_path)
    assert eventually(lambda: death_lines("troubled"))
    (told,) = death_lines("troubled")
    assert "on host 127.0.0.1) died: it was ended by SIGKILL. It held waits_once-0[2]" in told


@task(batch_size=1)
def waits_with_others(number: int, folder: Path) -> int:
    """The first three wait to be ended, the first time; the others are quick."""
    place, new = folder / str(number), folder / f"new-{number}"
    if number < 3 and not place.exists():
        new.write_text(str(os.getpid()))
        new.rename(place)
        time.sleep(60)
    return number


def test_one_death_is_told_in_one_line_though_it_is_heard_of_at_several(tmp_path: Path) -> None:
    """A worker has a line for each of its threads, and what has resources comes from Dask."""
    kwargs = {"n_workers": 1, "threads_per_worker": 3, "resources": {"GPU": 1}}
    with DaskTaskRunner(cluster_kwargs=kwargs) as runner:

        @flow(name="many", task_runner=runner)
        def many() -> list[int]:
            waits_with_others.map(range(10, 30), unmapped(tmp_path)).wait()  # it is quick, then
            on_gpu = waits_with_others.with_options(resources={"GPU": 1})
            kinds = on_gpu, waits_with_others, waits_with_others
            calls = [kind.submit(number, tmp_path) for number, kind in enumerate(kinds)]
            wait_until(lambda: all((tmp_path / each).exists() for each in "012"), "not all begun")
            os.kill(int((tmp_path / "0").read_text()), signal.SIGKILL)
            return [call.result() for call in calls]

        assert many() == [0, 1, 2]
    assert eventually(lambda: death_lines("many"))
    (told,) = death_lines("many")
    assert told.count("waits_with_others-") == 3, told


def test_a_worker_that_was_ended_for_what_was_cancelled(tmp_path: Path) -> None:
    kwargs = {"n_workers": 1, "threads_per_worker": 3, "resources": {"GPU": 1}}
    with DaskTaskRunner(cluster_kwargs=kwargs) as runner:

        @flow(task_runner=runner)
        def cancelled() -> list[str]:
            waits_with_others.map(range(10, 30), unmapped(tmp_path)).wait()  # it is quick, then
            on_gpu = waits_with_others.with_options(resources={"GPU": 1})
            kinds = waits_with_others, waits_with_others, on_gpu
            calls = [kind.submit(number, tmp_path) for number, kind in enumerate(kinds)]
            wait_until(lambda: all((tmp_path / each).exists() for each in "012"), "not all begun")
            calls[0].cancel()
            for call in calls:
                call.wait()
            return [call.state.name for call in calls]

        assert cancelled() == ["Cancelled", "Completed", "Completed"]
    assert eventually(lambda: death_lines("cancelled"))
    (told,) = death_lines("cancelled")  # what it had over its lines, and from Dask
    assert "died: it was ended, as something that it was at was cancelled. It held " in told
    (run,) = records.runs(flow_name="cancelled")
    names = [node.key for node in run.nodes()]
    assert [name in told for name in names[1:]] == [False, True, True], told


@task
def exits() -> None:
    os._exit(3)


def test_a_call_that_keeps_killing_its_workers_says_how_they_died() -> None:
    with DaskTaskRunner(cluster_kwargs={"n_workers": 1}) as runner:

        @flow(task_runner=runner)
        def deadly() -> str:
            return str(exits.submit().result(raise_on_failure=False))

        told = deadly()
        assert eventually(lambda: len(death_lines("deadly")) == 3), death_lines("deadly")
    assert "died 3 times" in told
    assert "on host 127.0.0.1) died: it exited with status 3" in told
    assert all("It held exits-0, not ended yet." in each for each in death_lines("deadly"))


def test_a_log_of_several_nannies_is_read_for_one_worker() -> None:
    newest_first = [
        "distributed.nanny - INFO - Worker process 12 was killed by signal 15",
        "distributed.nanny.memory - WARNING - Worker tcp://h:1 (pid=12) exceeded 95% memory budget",
        "distributed.nanny - INFO - Worker process 11 was killed by signal 9",
        "distributed.nanny - INFO - Worker process 10 exited with status 1",
    ]
    assert cause_in(newest_first, 10) == "it exited with status 1"
    assert cause_in(newest_first, 11) == "it was ended by SIGKILL"
    assert "memory limit" in str(cause_in(newest_first, 12))
    assert cause_in(newest_first, 1) is None
