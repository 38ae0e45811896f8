"""The values of fused stages are read as a list; what nobody wants is not held."""

from __future__ import annotations

import gc
import weakref
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from dataflow.worker.stage_values import StageValues

kept = st.lists(st.booleans(), min_size=1, max_size=4)


class Value:
    """Something that can be asked whether it is still there."""


@given(kept, st.integers(0, 40), st.data())
def test_they_are_those_of_a_list(kept: list[bool], calls: int, data: st.DataObject) -> None:
    ended: list[int] = []
    values, wanted = StageValues(kept, ended), []
    width = len(kept)
    for position in range(calls):
        number = position % width
        keep = values.keeps[number]
        if keep is not None and data.draw(st.booleans()):
            keep(position)
        else:
            values.append(position)
        assert values[position] == position  # before its time, as it is reported with it
        ended.append(1)
        wanted.append(position)
        if number == width - 1:
            values.forget_element()
            for at in range(position - number, position):
                wanted[at] = wanted[at] if kept[at % width] else None
            if not kept[number]:
                wanted[position] = None
    assert len(values) == calls
    assert list(values) == wanted
    if calls:
        at = data.draw(st.integers(0, calls - 1))
        if kept[at % width]:
            values[at] = wanted[at] = "another"
    number, step = data.draw(st.integers(0, width - 1)), data.draw(st.sampled_from([1, width]))
    start, stop = sorted(data.draw(st.tuples(*[st.integers(0, calls + 3)] * 2)))
    assert values[start:stop:step] == wanted[start:stop:step]
    assert values[number::width] == wanted[number::width]


def test_what_nobody_wants_is_let_go_of() -> None:
    ended: list[int] = []
    values = StageValues((False, True), ended)

    def made() -> Any:
        value = Value()
        values.append(value)
        ended.append(1)
        return weakref.ref(value)

    passing, wanted = made(), made()
    assert passing() is values[0]
    values.forget_element()
    gc.collect()
    assert passing() is None
    assert wanted() is values[1]
