"""What tasks do. Workers import it: a task is a function of a module, as in any project."""

from __future__ import annotations

import importlib
import time
from pathlib import Path
from typing import Any

MENDED = Path("mended")
"""Beside what the measured process leaves behind: its workers have the same folder."""


def spin(iterations: int, *inputs: int) -> int:
    """Use the CPU for a number of turns; the value depends on every input."""
    for _ in range(iterations):
        pass
    return (1 + sum(inputs)) % 1_000_003


def pause(seconds: float) -> float:
    """Sleep; the seconds that it really took."""
    started = time.perf_counter()
    time.sleep(seconds)
    return time.perf_counter() - started


def doze(seconds: float, *inputs: int) -> int:
    """Sleep, which takes no CPU; the value depends on every input."""
    if seconds:
        time.sleep(seconds)
    return spin(0, *inputs)


def scheduler_address() -> str:
    """Where the scheduler of the Dask worker is that this runs on."""
    from distributed import get_worker

    worker: Any = get_worker()
    address: str = worker.scheduler.address
    return address


def make_values(kind: str, nbytes: int) -> Any:
    """Ones, so many bytes of them: a numpy array, a pandas DataFrame or an Arrow table."""
    import numpy as np

    values = np.ones(nbytes // 8)
    if kind == "numpy":
        return values
    if kind == "pandas":
        import pandas as pd

        return pd.DataFrame({"x": values}, copy=False)
    pa = importlib.import_module("pyarrow")
    return pa.table({"x": values})


def changed(values: Any) -> Any:
    """A copy of all values, of which the first is greater by one."""
    if hasattr(values, "num_rows"):
        copy = values["x"].to_numpy().copy()
        copy[0] += 1
        return importlib.import_module("pyarrow").table({"x": copy})
    copy = values.copy()
    if hasattr(values, "columns"):
        copy.iloc[0, 0] += 1
    else:
        copy[0] += 1
    return copy


def total(*many: Any) -> float:
    """The sum of all values of all inputs: reads all of them."""
    return sum(_sum(values) for values in many)


def _sum(values: Any) -> float:
    if hasattr(values, "num_rows") or hasattr(values, "columns"):
        values = values["x"].to_numpy()
    return float(values.sum())


def moment(_element: int) -> float:
    """When it began: on Linux the clock is the same in all processes."""
    return time.monotonic()


def moment_once_mended(element: int) -> float:
    """As `moment`; of elements from 0 on only where `MENDED` is there, and else a failure."""
    if element >= 0 and not MENDED.exists():
        raise FileNotFoundError(MENDED)
    return time.monotonic()


def stay(element: int) -> None:
    """Say that it has begun, and not end by itself."""
    Path(f"stays-{element}").touch()
    time.sleep(3600)


def begun_to_stay(n: int) -> bool:
    """Whether all of so many have begun."""
    return all(Path(f"stays-{element}").exists() for element in range(n))


def moment_of_a_while(_element: int) -> float:
    """As `moment`; it takes so long that no worker has two before another has one."""
    began = time.monotonic()
    time.sleep(1.0)
    return began
