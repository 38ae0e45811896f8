"""Programs that the tests start as processes of their own: ``programs.py NAME PATH ...``."""

from __future__ import annotations

import contextlib
import os
import resource
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from dataflow.errors import StoreUnwritable
from dataflow.model.states import StateCode
from dataflow.store import node_queries, run_queries, sqlite_store
from dataflow.store.run_store import open_store
from tests.store.samples import (
    attempt_record,
    call_batch,
    log_record,
    map_batch,
    node_record,
    run_record,
    run_state,
)

_loaded = (node_queries, run_queries, sqlite_store)  # before rights are dropped
ROOT = Path(__file__).resolve().parents[2]
SIZE = 200
"""Elements in each portion of :func:`portion`."""


def run_program(name: str, place: object) -> None:
    """Run one of the programs below in a process of its own."""
    command = [sys.executable, "-W", "ignore::DeprecationWarning", "-m", "tests.store.programs"]
    done = subprocess.run(
        [*command, name, str(place)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stderr


def portion(run_id: str, number: int) -> list:
    """Records of every kind that belong together: all of them are stored, or none."""
    start = number * SIZE
    codes = [StateCode.FAILED, *[StateCode.COMPLETED] * (SIZE - 1)]
    return [
        map_batch(run_id, 1, start, codes),
        attempt_record(run_id, 1, start, message=f"portion {number}"),
        node_record(run_id, 100 + number, kind="task", name=f"one-{number}", length=1),
        call_batch(run_id, [100 + number], [StateCode.COMPLETED]),
        *[log_record(run_id, f"portion {number}", sequence=k) for k in range(5)],
    ]


def beginning(run_id: str) -> list:
    return [run_record(run_id), node_record(run_id, 1), run_state(run_id, StateCode.RUNNING)]


def check_portions(store, run_id: str, count: int) -> None:
    """That many portions are there, each of them whole."""
    nodes = {node.node: node for node in store.nodes(run_id)}
    expected = {"Failed": count, "Completed": count * (SIZE - 1)} if count else {}
    assert nodes.pop(1).counts == expected
    assert sorted(nodes) == [100 + number for number in range(count)]
    assert all(node.counts == {"Completed": 1} for node in nodes.values())
    failures = store.failures(run_id, limit=None)
    assert [failure.message for failure in failures] == [f"portion {n}" for n in range(count)]
    assert len(store.logs(run_id)) == 5 * count


def write(path: str, run_id: str, portions: str) -> None:
    """Write portions, each announced once it is stored; begin when told to."""
    print("ready", flush=True)
    sys.stdin.readline()
    store = open_store(path)
    store.write(beginning(run_id))
    for number in range(int(portions)):
        store.write(portion(run_id, number))
        print(number, flush=True)
    store.write([run_state(run_id, StateCode.COMPLETED)])
    store.close()


def full_disk(path: str) -> None:
    """The file may not grow: the write is refused whole, and succeeds once there is room."""
    store = open_store(path)
    store.write([log_record("r", "before")])
    unlimited = resource.getrlimit(resource.RLIMIT_FSIZE)
    limit = sum(file.stat().st_size for file in Path(path).parent.iterdir())
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, unlimited[1]))
    many = [log_record("r", "x" * 1000) for _ in range(3000)]
    with contextlib.suppress(StoreUnwritable):
        store.write(many)
        raise AssertionError("there was no room for this")
    assert [line.message for line in store.logs("r")] == ["before"]
    resource.setrlimit(resource.RLIMIT_FSIZE, unlimited)
    store.write(many)
    assert len(store.logs("r")) == 3001
    store.close()


def full_disk_run(path: str) -> None:
    """The disk fills up in the middle of a run: it ends and says so; what is recorded is there."""
    os.environ.update(
        DATAFLOW_STORE_URL=path,
        DATAFLOW_RESULTS_STORAGE=f"{path}-results",
        DATAFLOW_PROGRESS="off",
        DATAFLOW_LOG_TO_TERMINAL="0",
    )
    from dataflow import flow, get_run_logger, task
    from dataflow.execution.loop.process_loop import close_run_loop
    from dataflow.records import runs

    unlimited = resource.getrlimit(resource.RLIMIT_FSIZE)

    roomy: list[bool] = []

    @task
    def step(number):
        if number == 300 and not roomy:
            files = [file for file in Path(path).parent.iterdir() if file.is_file()]
            size = max(file.stat().st_size for file in files)
            resource.setrlimit(resource.RLIMIT_FSIZE, (size, unlimited[1]))
        get_run_logger().info("x" * 1000)
        return number

    @flow(task_runner="threads", persist_result=True)
    def steps(count):
        step.map(range(4)).result()  # told, so it is in the store
        return step.map(range(count)).result()

    with contextlib.suppress(StoreUnwritable):
        steps(3000)
        raise AssertionError("there was no room for this")
    (run,) = runs()
    assert run.state.is_running() or run.state.is_failed()  # there may be room for so little
    assert run.nodes()[0].counts == {"Completed": 4}
    resource.setrlimit(resource.RLIMIT_FSIZE, unlimited)
    close_run_loop()  # as when the process ends
    assert run.refresh().state.is_failed()
    assert "StoreUnwritable" in str(run.refresh().state.message)
    roomy.append(True)
    assert steps(4) == [0, 1, 2, 3]
    assert [each.state.name for each in runs()] == ["Completed", "Failed"]
    assert steps.resume(run.id) == list(range(3000))
    assert [each.state.name for each in runs()] == ["Completed", "Completed"]
    assert run.refresh().nodes()[0].counts in ({"Completed": 4}, {"Cached": 4})
    close_run_loop()


def no_rights(_path: str) -> None:
    """A folder, a file, and a home that someone else owns."""
    home = Path(tempfile.mkdtemp())
    (home / "closed").mkdir(mode=0o500)
    (home / "file").mkdir()
    open_store(home / "file" / "runs.db").close()
    (home / "file" / "runs.db").chmod(0o444)
    for folder in (home, home / "file"):
        folder.chmod(0o777)
    child = os.fork()
    if child == 0:
        if os.getuid() == 0:
            os.setgid(65534)
            os.setuid(65534)
        refused = 0
        for path in ("closed/runs.db", "closed/deep/runs.db", "file/runs.db"):
            try:
                open_store(home / path)
            except StoreUnwritable as error:
                refused += str(home) in str(error) and "DATAFLOW_HOME" in str(error.hint)
        os._exit(0 if refused == 3 else 1)
    _, status = os.waitpid(child, 0)
    shutil.rmtree(home)
    assert status == 0


def fork(path: str) -> None:
    """Children use the store that they were born with, while the parent goes on."""
    store = open_store(path)
    store.write(beginning("parent"))
    assert len(store.find_runs()) == 1
    children = []
    for name in ("one", "two", "three"):
        child = os.fork()
        if child == 0:
            store.write(beginning(name))
            for number in range(20):
                store.write(portion(name, number))
            os._exit(0 if len(store.nodes(name)) == 21 else 1)
        children.append(child)
        store.write(portion("parent", len(children)))
    for child in children:
        assert os.waitpid(child, 0)[1] == 0
    assert len(store.find_runs()) == 4
    assert len(store.nodes("parent")) == 4
    store.close()
    if "://" not in path:
        assert [file.name for file in Path(path).parent.iterdir()] == [Path(path).name]


if __name__ == "__main__":
    programs: dict[str, Callable[..., None]] = {
        each.__name__: each for each in (write, full_disk, full_disk_run, no_rights, fork)
    }
    programs[sys.argv[1]](*sys.argv[2:])
