"""What people do in notebooks: functions of cells, tasks outside flows, redefinition, await."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import nbformat
import pytest
from jupyter_client.manager import start_new_kernel
from nbclient import NotebookClient

from tests.runners.programs import wait_until

CELLS = [
    """
    from dataclasses import dataclass
    from dataflow import flow, task

    @dataclass
    class Point:
        x: int

    @task
    def shift(point):
        return Point(point.x + STEP)

    STEP = 1
    """,
    "print([p.x for p in shift.map([Point(1), Point(2)]).result()], shift(Point(5)).x)",
    "STEP = 10",
    "print(shift.submit(Point(1)).result(), isinstance(shift.submit(Point(1)).result(), Point))",
    """
    @flow
    def moved(n: int = 3):
        return shift.map([Point(i) for i in range(n)])

    print([p.x for p in moved(2)])
    """,
    """
    @task
    async def wait(n):
        import asyncio
        await asyncio.sleep(0.01)
        return n

    @flow
    async def waits():
        import asyncio
        return await asyncio.gather(wait(1), wait(2)), await wait.submit(3)

    print(await waits())
    """,
    "moved.visualize.__doc__ and moved.trace(4)",
]


def test_a_notebook_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from textwrap import dedent

    monkeypatch.setenv("DATAFLOW_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    notebook = nbformat.v4.new_notebook()
    notebook.cells = [nbformat.v4.new_code_cell(dedent(cell).strip()) for cell in CELLS]
    client = NotebookClient(notebook, timeout=60, resources={"metadata": {"path": str(tmp_path)}})
    client.execute()
    printed = [
        "".join(output.get("text", "") for output in cell.outputs if output.get("name") == "stdout")
        for cell in notebook.cells
    ]
    assert printed[1] == "[2, 3] 6\n"
    assert printed[3] == "Point(x=11) True\n"
    assert printed[4] == "[10, 11]\n"
    assert printed[5] == "([1, 2], 3)\n"


STUBBORN = """
import time
from pathlib import Path
from dataflow import flow

@flow(task_runner="inline")
def stubborn():
    while True:
        try:
            print("ready", flush=True)
            while not Path("enough").exists():
                time.sleep(0.01)
            return
        except BaseException:
            pass

stubborn()
"""


def test_a_kernel_goes_on_however_often_it_is_interrupted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATAFLOW_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    manager, client = start_new_kernel(cwd=str(tmp_path))
    said: list[str] = []
    begun = float("inf")

    def interrupt(message: dict[str, Any]) -> None:
        nonlocal begun
        text = message["content"].get("text", "")
        said.append(text)
        if "ready" not in text:
            return
        begun = min(begun, time.monotonic())
        if time.monotonic() > begun + 0.5:  # well beyond what counts as one
            (tmp_path / "enough").touch()
        else:
            manager.interrupt_kernel()

    try:
        client.execute_interactive(STUBBORN, timeout=60, output_hook=interrupt)
        assert sum(text.count("ready") for text in said) > 2

        def goes_on() -> bool:  # an interruption on its way may hit the first attempt
            client.execute_interactive("print(6 * 7)", timeout=60, output_hook=interrupt)
            return "42\n" in said

        wait_until(goes_on, "it does nothing any more")
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
