"""Fixtures of the command-line tests: a folder with flows, a store of its own, the command."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]

FLOWS = """
import datetime
import time
from dataclasses import dataclass

from dataflow import flow, get_run_logger, task


@dataclass
class Row:
    number: int


@task
def load(count):
    return [Row(number) for number in range(count)]


@task(retries=1)
def clean(row):
    if row.number % 5 == 3:
        raise ValueError(f"bad row {row.number}")
    get_run_logger().warning("row %s", row.number)
    return row.number


@task
def double(number):
    return 2 * number


@flow(flow_run_name="etl-{count}")  # a random name could be that of another run
def etl(count: int = 3):
    return double.map(clean.map(load.submit(count)))


@flow
def report(day: datetime.date, name: str = "x", limit: int = 10):
    print("a line on standard output")
    return {"day": day, "name": name, "limit": limit}


@flow
def broken(index: int = 5):
    return [1, 2][index]


@flow
def asks():
    return double.submit(clean.submit(Row(3))).result()


@flow
def outer():
    etl(2)
    return etl(5)


@flow
async def waits():
    import asyncio

    await asyncio.sleep(0)
    return double.map(range(4))


@flow
def long():
    get_run_logger().info("in the body")
    nap.map(range(1000)).wait()


@task
def nap(number):
    time.sleep(0.05)
"""


@dataclass
class Done:
    """What a command came to."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def lines(self) -> list[str]:
        return self.out.splitlines()


@dataclass
class Command:
    """``python -m dataflow`` in a folder, with a home of its own."""

    folder: Path
    environment: dict[str, str]

    def __call__(self, *arguments: str, status: int | None = 0, **environment: str) -> Done:
        done = subprocess.run(
            [sys.executable, "-m", "dataflow", *arguments],
            cwd=self.folder,
            env={**self.environment, **environment},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert status is None or done.returncode == status, done.stdout + done.stderr
        return Done(done.returncode, done.stdout, done.stderr)


@pytest.fixture(scope="session")
def make_command(tmp_path_factory):
    """A command in a new folder that has ``flows.py``."""

    def make() -> Command:
        folder = tmp_path_factory.mktemp("flows")
        (folder / "flows.py").write_text(FLOWS)
        environment = {
            name: value for name, value in os.environ.items() if not name.startswith("DATAFLOW_")
        }
        environment |= {
            "DATAFLOW_HOME": str(folder / "home"),
            "DATAFLOW_RUNNER": "inline",
            "PYTHONPATH": str(ROOT),
            "PYTHONDONTWRITEBYTECODE": "1",  # it would be as old as a file that a test writes anew
        }
        return Command(folder, environment)

    return make


@pytest.fixture
def command(make_command):
    return make_command()


@pytest.fixture(scope="session")
def seen(make_command):
    """A command with a store in which there are runs to look at: etl, report, outer."""
    command = make_command()
    command("run", "flows.py:etl", "-p", "count=14", status=1)
    command("run", "flows.py:report", "-p", "day=2013-01-31", "-p", "name=y")
    command("run", "flows.py:outer", status=1)
    return command


@pytest.fixture(scope="session")
def etl_name(seen) -> str:
    (run,) = seen("runs", "ls", "--flow", "etl", "--json").json
    name: str = run["name"]
    return name
