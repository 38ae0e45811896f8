"""What runs inside a worker needs the standard library, cloudpickle and msgpack, nothing else."""

from __future__ import annotations

import sys

import pytest

from tests.architecture.conftest import RunScript

ALLOWED = {"cloudpickle", "msgpack", "dataflow"}

WORKER_PROGRAM = """
import importlib, pkgutil, sys

before = set(sys.modules)
import dataflow.worker

for module in pkgutil.walk_packages(dataflow.worker.__path__, "dataflow.worker."):
    if ".async_" not in module.name:  # loaded by the first async task only
        importlib.import_module(module.name)
brought = set(sys.modules) - before
print(*sorted({name.partition(".")[0] for name in brought}))
"""


def test_worker_modules_bring_in_only_what_a_worker_needs(run_script: RunScript) -> None:
    done = run_script(WORKER_PROGRAM)
    assert done.returncode == 0, done.stderr
    brought = set(done.stdout.split())
    assert "dataflow" in brought
    private = {name for name in brought if name.startswith("_")}
    assert not brought - ALLOWED - private - set(sys.stdlib_module_names)


@pytest.mark.parametrize("name", ["asyncio", "sqlite3"])
def test_worker_modules_do_not_bring_in(run_script: RunScript, name: str) -> None:
    done = run_script(WORKER_PROGRAM + f"print({name!r} in sys.modules)")
    assert done.stdout.splitlines()[-1:] == ["False"], done.stderr
