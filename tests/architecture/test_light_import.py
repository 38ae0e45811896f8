"""``import dataflow`` is quick and brings in nothing heavy."""

from __future__ import annotations

import statistics

import pytest

from tests.architecture.conftest import RunScript

HEAVY = [
    "asyncio",
    "cluster",
    "concurrent.futures",
    "dask",
    "distributed",
    "multiprocessing",
    "networkx",
    "numpy",
    "pandas",
    "pydantic",
    "rich",
    "runners",
    "sqlalchemy",
    "sqlite3",
]
MAX_IMPORT_SECONDS = 0.060


@pytest.mark.parametrize("name", HEAVY)
def test_import_brings_in_nothing_heavy(run_script: RunScript, name: str) -> None:
    done = run_script(f"import sys, dataflow\nprint({name!r} in sys.modules)")
    assert done.stdout.strip() == "False", done.stderr


def test_decorating_brings_in_neither_dask_nor_networkx(run_script: RunScript) -> None:
    done = run_script(
        "import sys\n"
        "from dataflow import flow, task\n"
        "@task\n"
        "def one(): return 1\n"
        "@flow\n"
        "def whole(): return one()\n"
        "print(sorted({'dask', 'distributed', 'networkx', 'sqlalchemy'} & set(sys.modules)))\n"
    )
    assert done.stdout.strip() == "[]", done.stderr


def test_import_takes_at_most_60_ms(run_script: RunScript) -> None:
    run_script("import dataflow")  # writes the bytecode and warms the files
    seconds = statistics.median(cpu_seconds(run_script, "import dataflow") for _ in range(5))
    bare = statistics.median(cpu_seconds(run_script, "") for _ in range(5))
    assert seconds - bare <= MAX_IMPORT_SECONDS


def cpu_seconds(run_script: RunScript, statement: str) -> float:
    """Processor time, because other tests run beside this one."""
    done = run_script(f"{statement}\nimport time\nprint(time.process_time())")
    return float(done.stdout)
