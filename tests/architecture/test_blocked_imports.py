"""A flow runs with ``dataflow`` and ``runners.inline`` alone."""

from __future__ import annotations

from tests.architecture.conftest import RunScript

BLOCKER = """
import sys

BLOCKED = {
    "cluster", "dask", "distributed", "fastapi", "psycopg", "sqlalchemy", "uvicorn",
    "runners.dask", "runners.processes", "runners.threads",
}

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name in BLOCKED or name.partition(".")[0] in BLOCKED:
            raise ImportError(f"{name} is blocked")

sys.meta_path.insert(0, Blocker())
"""

PROGRAM = """
from dataflow import flow, task

@task
def double(number):
    return 2 * number

@task
def total(numbers):
    return sum(numbers)

@flow(task_runner="inline")
def pipeline(count):
    doubled = double.map(range(count))
    return total.submit(doubled).result() + double(1)

if __name__ == "__main__":
    print(pipeline(5))
"""


def test_a_flow_runs_inline_with_every_other_runner_blocked(run_script: RunScript) -> None:
    done = run_script(BLOCKER + PROGRAM)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "22"


def test_the_block_holds(run_script: RunScript) -> None:
    done = run_script(BLOCKER + "import runners.threads\n")
    assert "runners.threads is blocked" in done.stderr
