"""Values of 100 MB that pass from task to task, against a plain copy of what the tasks read."""

from __future__ import annotations

from time import perf_counter

from benchmarks.calls import Call, carry_out
from benchmarks.granularity import best_seconds
from benchmarks.tasks import changed, make_values, total

TYPE_CHECKING = False
if TYPE_CHECKING:
    from benchmarks.rivals.protocol import GraphRival

WARM = True

PASSED = 8
TRIES = 4


def run(rival: GraphRival, n: int, variant: str) -> dict[str, float]:
    """`n` is the bytes of one value; the variant its kind and the shape, such as `numpy-chain`."""
    kind, _, shape = variant.partition("-")
    before = rival.bytes_through_flow()
    found: list[float] = []
    for _ in range(TRIES):  # memory that a worker has not touched may be ten times as slow
        started = perf_counter()
        tasks = _check(rival, kind, shape, n)
        found.append(perf_counter() - started)
        rival.check_records(tasks)
    after = rival.bytes_through_flow()
    seconds = min(found)
    alone = best_seconds(lambda: carry_out(_calls(kind, shape, n))[-1])
    measures: dict[str, float] = {
        "seconds": seconds,
        "over_copy": seconds / _copy_seconds(n, _reads(_calls(kind, shape, n))),
        "over_alone": seconds / alone,
    }
    if before is None or after is None:
        return measures
    return {**measures, "through_flow": (after - before) / TRIES}


def _check(rival: GraphRival, kind: str, shape: str, nbytes: int) -> int:
    """Carry it out; the number of its tasks."""
    calls = _calls(kind, shape, nbytes)
    (value,) = rival.graph(calls, [len(calls) - 1])
    count = nbytes // 8
    expected = count + PASSED if shape == "chain" else count * PASSED
    assert value == expected, f"the sum is {value}, not {expected}"
    return len(calls)


def _calls(kind: str, shape: str, nbytes: int) -> list[Call]:
    return chain(kind, nbytes) if shape == "chain" else fan_in(kind, nbytes)


def chain(kind: str, nbytes: int) -> list[Call]:
    """One value that is made, copied and changed eight times, and summed."""
    changes = [Call(changed, (), (number,)) for number in range(PASSED)]
    return [Call(make_values, (kind, nbytes)), *changes, Call(total, (), (PASSED,))]


def fan_in(kind: str, nbytes: int) -> list[Call]:
    """Eight values that are made, and summed by one task."""
    return [Call(make_values, (kind, nbytes))] * PASSED + [Call(total, (), tuple(range(PASSED)))]


def _reads(calls: list[Call]) -> int:
    """How many values the calls are given by others."""
    return sum(len(call.dependencies) for call in calls)


def _copy_seconds(nbytes: int, reads: int) -> float:
    """One copy of each value that is read."""
    import numpy as np

    values = np.ones(nbytes // 8)
    return best_seconds(lambda: [values.copy() is values for _ in range(reads)])
