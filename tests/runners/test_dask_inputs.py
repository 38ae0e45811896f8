"""What a Dask worker loads before it carries out a batch."""

from __future__ import annotations

import pickle
import sys
import threading
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from runners.code_worlds import native
from runners.dask_inputs import load_batch
from runners.dask_messages import Message
from tests.runners.far_cluster import write_files

PACKAGE = """
import i_gate
i_gate.begun.set()
i_gate.go_on.wait(30)
from i_package import one, two
"""
NAMES = ("one", "two")


def message(task: str) -> Message:
    """A batch of one task: something in a module."""
    batch = SimpleNamespace(tasks=[], inputs=[])
    digest, payload = task.encode(), f"c{task}\nVALUE\n.".encode()
    return Message(
        None, "topic", 1, [digest], {digest: payload}, pickle.dumps(batch), 1, False, False, None
    )


def test_tasks_of_a_package_are_loaded_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Python itself has two threads wait for each other there: one then gets an error."""
    gate: Any = ModuleType("i_gate")
    gate.begun, gate.go_on = threading.Event(), threading.Event()
    monkeypatch.setitem(sys.modules, "i_gate", gate)
    files = {f"i_package/{name}.py": f"VALUE = {name!r}\n" for name in NAMES}
    write_files(tmp_path, {"i_package/__init__.py": PACKAGE, **files})
    monkeypatch.syspath_prepend(tmp_path)
    found: list[Any] = []

    def load(task: str) -> None:
        found.extend(load_batch(None, message(task), (), native).tasks)

    threads = [threading.Thread(target=load, args=(f"i_package.{name}",)) for name in NAMES]
    threads[0].start()
    assert gate.begun.wait(30)
    threads[1].start()
    threads[1].join(0.1)  # it may hold what the other needs, if it can
    gate.go_on.set()
    for thread in threads:
        thread.join(30)
    for name in [name for name in sys.modules if name.startswith("i_package")]:
        del sys.modules[name]
    assert sorted(found) == sorted(NAMES)
