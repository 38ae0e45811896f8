"""Large arguments of a run's calls: packed when they are passed, and sent to each worker once.

An argument is what it was when its task was called, whatever becomes of it afterwards. So one that
may change is packed at each call, and compared with what it was before; text and bytes need not be.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

from dataflow.worker.columns import PackedColumn, Part, pack
from dataflow.worker.sizes import nbytes_of

LARGE_BYTES = 64_000
_SMALL_BYTES = 4_000
_MOST_KEPT = 16


def is_large(value: Any) -> bool:
    """Whether a value had better be sent once than with every call: text, bytes, arrays, frames."""
    return nbytes_of(value) > LARGE_BYTES


def snapshot(value: Any, shared: bool) -> PackedColumn:
    """A value as it is now, as a column; ``shared``: all calls in a process get the same object.

    Raises:
        Exception: it cannot be pickled.
    """
    column = pack([value], exact=True)
    parts = [
        Part(bytes(part.data), [bytes(each) for each in part.buffers]) for part in column.parts
    ]
    return PackedColumn(parts, 1, exact=True, shared=shared)


class LargeValues:
    """The last large arguments of a run."""

    def __init__(self) -> None:
        self._kept: OrderedDict[tuple[int, bool], tuple[Any, PackedColumn]] = OrderedDict()

    def column_of(self, value: Any, shared: bool = False) -> PackedColumn:
        """The column that has a value as it is now (see :func:`snapshot`).

        Raises:
            Exception: it cannot be pickled.
        """
        key = id(value), shared
        same, column = self._kept.get(key, (None, None))
        if same is value and column is not None:
            return column
        fresh = snapshot(value, shared)
        if column is None or not _are_equal(column, fresh):
            column = fresh
        is_fixed = type(value) in (str, bytes)
        self._kept[key] = (value if is_fixed else None, column)
        self._kept.move_to_end(key)
        if len(self._kept) > _MOST_KEPT:
            self._kept.popitem(last=False)
        return column

    def clear(self) -> None:
        """Keep nothing any more."""
        self._kept.clear()


def _are_equal(first: PackedColumn, second: PackedColumn) -> bool:
    pairs = zip(first.parts, second.parts, strict=True)
    return all(a.data == b.data and a.buffers == b.buffers for a, b in pairs)


def sent_parameters(
    parameters: Mapping[str, Any],
) -> tuple[dict[str, Any], PackedColumn | None]:
    """A run's parameters for its workers: with every batch, or, if they are large, once.

    Returns:
        What goes with every batch, and the column of all of them if that is nothing. What cannot
        be pickled is there as text.
    """
    sent = dict(parameters)
    if not sent:
        return sent, None
    try:
        column = snapshot(sent, shared=True)
    except Exception:  # whatever the values' own code raises when they are pickled
        sent = {name: _picklable(value) for name, value in sent.items()}
        column = snapshot(sent, shared=True)
    return (sent, None) if column.nbytes <= _SMALL_BYTES else ({}, column)


def _picklable(value: Any) -> Any:
    try:
        snapshot(value, shared=True)
    except Exception:  # as above
        return repr(value)
    return value
