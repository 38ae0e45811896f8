"""What a Dask worker loads before it carries out a batch."""

from __future__ import annotations

import pickle
import sys
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from runners.dask.code_worlds import native
from runners.dask.inputs import load_batch
from runners.dask.messages import Message
from tests.runners.far_cluster import write_files
from tests.runners.quick_switches import quick_switches

NAMES = ("one", "two")


def message(task: str) -> Message:
    """A batch of one task: something in a module."""
    batch = SimpleNamespace(tasks=[], inputs=[])
    digest, payload = task.encode(), f"c{task}\nVALUE\n.".encode()
    return Message(
        None, "topic", 1, [digest], {digest: payload}, pickle.dumps(batch), 1, False, False, None
    )


def test_tasks_of_one_package_are_loaded_by_several_threads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Python itself has two threads wait for each other there, and one gets an error at times."""
    packages = [f"i_package{number}" for number in range(50)]
    files = {"__init__": "from . import one, two\n", **dict.fromkeys(NAMES, "VALUE = 1\n")}
    for package in packages:
        write_files(tmp_path, {f"{package}/{name}.py": text for name, text in files.items()})
    monkeypatch.syspath_prepend(tmp_path)
    begin = threading.Barrier(len(NAMES))
    found: list[Any] = []

    def load(name: str) -> None:
        for package in packages:
            begin.wait(60)
            found.extend(load_batch(None, message(f"{package}.{name}"), (), native).tasks)

    threads = [threading.Thread(target=load, args=(name,)) for name in NAMES]
    with quick_switches():
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
    for name in [name for name in sys.modules if name.startswith("i_package")]:
        del sys.modules[name]
    assert found == [1] * len(packages) * len(NAMES)
