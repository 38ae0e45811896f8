"""What people really write, cases 2, 5, 6, 18 and 20, with arrays and frames."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pandas as pd
import pytest

from dataflow import flow, task, unmapped

pytestmark = pytest.mark.usefixtures("runner")


@task
def load():
    return pd.DataFrame({"a": [1, 2, 3]})


@task
def double(x):
    return 2 * x


@task
def pick(frame, index):
    return int(frame["a"].iloc[index])


@task
def weigh(*arrays, scale=1):
    return float(sum(array.sum() for array in arrays)) * scale


@flow
def changes_a_frame():
    frame = load()
    frame["b"] = frame["a"] * 2
    both = pd.concat([frame, load()])
    return int(both["b"].sum()), len(both), pick(frame, 2)


def test_a_frame_from_a_bare_call_is_the_frame_itself() -> None:
    assert changes_a_frame() == (12, 6, 3)


@flow
def maps_over_arrays():
    return [
        double.map(np.array([1, 2, 3])),
        double.map(pd.Series([1, 2, 3], index=list("abc"))),
        double.map(np.array([[1, 2], [3, 4]])),
        double.map(load.submit().result()["a"]),
    ]


def test_arrays_and_series_are_mapped_over() -> None:
    ones, series, rows, column = maps_over_arrays()
    assert ones == series == column == [2, 4, 6]
    assert [row.tolist() for row in rows] == [[2, 4], [6, 8]]


@flow
def broadcasts():
    frame = pd.DataFrame({"a": range(1000)})
    return (
        pick.map(unmapped(frame), range(0, 1000, 250)),
        pick.map([frame] * 3, [1, 2, 3]),
        pick.map(frame, [1, 2]),  # a DataFrame is not mapped over
        pick.map(unmapped(load.submit()), [0, 1]),
    )


def test_frames_are_given_whole_to_each_element() -> None:
    assert broadcasts() == ([0, 250, 500, 750], [1, 2, 3], [1, 2], [1, 2])


# --- 20: large shared inputs ---------------------------------------------------------------------


class Weighed:
    """Counts how often it is pickled."""

    pickled = 0

    def __init__(self) -> None:
        self.values = np.ones(1000)

    def __reduce__(self) -> Any:
        Weighed.pickled += 1
        return Weighed, ()


@task
def use(shared, number):
    return number + int(shared.values[0])


@contextmanager
def _counted() -> Iterator[None]:
    Weighed.pickled = 0
    yield
    assert Weighed.pickled <= 4  # once for each worker at most, and some room: never per element


@flow
def one_object_for_all():
    shared = Weighed()
    return use.map(unmapped(shared), range(200)), use.map([shared] * 200, range(200))


def test_an_object_that_all_elements_use_is_not_sent_with_each() -> None:
    with _counted():
        assert one_object_for_all() == (list(range(1, 201)), list(range(1, 201)))


@flow
def twelve_arrays():
    arrays = [np.full(10_000, number) for number in range(12)]
    return weigh.map(*map(unmapped, arrays), scale=[1, 2, 3]), weigh.submit(*arrays, scale=2)


def test_twelve_arrays_broadcast_to_every_element() -> None:
    total = 10_000.0 * sum(range(12))
    assert twelve_arrays() == ([total, 2 * total, 3 * total], 2 * total)


@flow
def changes_an_array_after_submitting():
    array = np.zeros(100_000)
    first = weigh.submit(array)
    mapped = weigh.map([array, array])
    first_value, values = first.result(), mapped.result()
    array += 1
    return first_value, values, weigh.submit(array)


def test_large_arrays_are_sent_as_they_were() -> None:
    assert changes_an_array_after_submitting() == (0.0, [0.0, 0.0], 100_000.0)
